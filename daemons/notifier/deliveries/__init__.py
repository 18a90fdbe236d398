"""Deliveries: what is owed for an event or a message, to whom over which channel, and how it came out."""
