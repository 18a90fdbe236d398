"""Accounts and transactions: what callers ask for, the kinds of commands, and the ledger."""
