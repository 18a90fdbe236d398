"""Accounts and transactions: the ledger, the engine that commits to it, and its outbox."""
