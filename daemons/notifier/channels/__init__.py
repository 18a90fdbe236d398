"""Channels: each takes one message to one recipient, behind one port (docs/channels.md)."""
