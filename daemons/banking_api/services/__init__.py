"""What the bank does: open and change accounts, post transactions, tell of them, prove the books."""
