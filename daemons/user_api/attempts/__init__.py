"""Guesses made slow: each attempt is counted for its account and for its network address."""
