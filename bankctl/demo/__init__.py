"""The demonstration: people run the real command line against the real daemons; every result is checked."""
