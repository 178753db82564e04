"""What the stages share of Kafka: clients, topics, names of workers, replay."""
