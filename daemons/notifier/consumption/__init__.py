"""What a batch of records from Kafka effects."""
