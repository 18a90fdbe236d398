"""The command line of the bank."""

__version__ = "0.1.0"
