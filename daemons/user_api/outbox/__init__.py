"""The events that user_api owes to Kafka, and their relay."""
