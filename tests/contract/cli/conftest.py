"""The fixtures of the command line's unit tests, for the played bank they share."""

from tests.unit.cli.conftest import ann, bank, certificate, cli, home

__all__ = ["ann", "bank", "certificate", "cli", "home"]
