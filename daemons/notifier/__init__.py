"""The notifier: records every event once, in one order, and lets support staff follow them."""
