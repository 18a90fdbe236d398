"""A user's own address and name: changed by them, told to the address before, undone from there."""
