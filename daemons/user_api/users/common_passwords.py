"""The passwords that are tried first: the list beside this module, and the one that zxcvbn keeps."""

from functools import cache
from importlib.resources import files

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from daemons.user_api.users.password import MINIMUM_PASSWORD_LENGTH


@cache
def common_passwords() -> frozenset[str]:
    """Return them in lower case."""
    text = files(__package__).joinpath("common_passwords.txt").read_text(encoding="utf-8")
    own = (line for line in text.splitlines() if line and not line.startswith("#"))
    return frozenset(own).union(
        word.casefold() for word in FREQUENCY_LISTS["passwords"] if len(word) >= MINIMUM_PASSWORD_LENGTH
    )
