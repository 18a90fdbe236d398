"""The notifier's routes: following events, reading them page by page, proving them, notifications."""
