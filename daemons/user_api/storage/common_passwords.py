"""The passwords that are tried first, from the list beside this module."""

from functools import cache
from importlib.resources import files


@cache
def common_passwords() -> frozenset[str]:
    """Return them in lower case."""
    text = files(__package__).joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
