"""API keys: credentials of scripts."""
