"""Sessions: their tokens, their use and their end."""
