"""The rules of the ledger. No I/O, no clock, no chance: the same input gives the same decision."""
