"""`undertow stack`: a local Kafka and a process for each stage."""
