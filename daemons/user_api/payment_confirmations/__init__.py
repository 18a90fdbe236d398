"""Confirmations of payments by the second factor, for banking_api."""
