"""`undertow notify`: alerts from Kafka or a run into signed webhooks, by way of an outbox."""
