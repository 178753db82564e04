"""From Kafka's topics: the consumer that commits behind the write, and the audit."""
