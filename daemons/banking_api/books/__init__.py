"""The books as a whole: their proof, and what Kafka has of them."""
