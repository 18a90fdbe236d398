"""Signing in, and who calls user_api itself."""
