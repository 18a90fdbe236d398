"""Users, sessions and the rules for passwords: no I/O, no clock."""
