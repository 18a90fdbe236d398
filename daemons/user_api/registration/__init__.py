"""Registering, and confirming that the address is one's own."""
