"""What an event says to people, and which events a reader asked for: pure functions over the contracts."""
