"""The notifier's own database."""
