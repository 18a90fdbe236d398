"""Preferences: what each user wants to hear of, over which channels, when, and in which language."""
