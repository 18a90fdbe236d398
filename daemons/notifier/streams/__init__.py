"""Event streams: followed by readers as events are recorded."""
