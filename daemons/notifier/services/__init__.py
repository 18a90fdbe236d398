"""What the notifier does: record events once, let readers follow them, prove what it holds."""
