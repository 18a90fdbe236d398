"""What travels between processes: errors, permissions, events, internal messages. No I/O."""
