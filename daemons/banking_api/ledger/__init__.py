"""The ledger: commands are decided one after another, and each becomes one record of one sealed journal.

It knows what a command is and the table of kinds that it is given, and no kind by its name.
"""
