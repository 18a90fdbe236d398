"""Messages that user_api owes to people, and the codes in them, until the notifier has taken them."""
