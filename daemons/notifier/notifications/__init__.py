"""Notifications: one sentence for people about an event."""
