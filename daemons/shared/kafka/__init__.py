"""Kafka as every daemon uses it: nothing acknowledged is lost, nothing committed before its effect."""
