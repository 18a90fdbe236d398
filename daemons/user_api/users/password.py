"""The rules for a new password: length and what is easily guessed, no composition (NIST SP 800-63B)."""

import unicodedata
from collections.abc import Collection
from itertools import pairwise

from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.user_api.users.email import local_part

MINIMUM_PASSWORD_LENGTH = 8
MAXIMUM_PASSWORD_LENGTH = 128
# A name of two letters stands in too many passwords by chance.
_SHORTEST_TELLING_NAME = 3
# Controls and line ends: a prompt, or a line of standard input, ends at them.
_UNTYPABLE = frozenset({"Cc", "Zl", "Zp"})


def normalise_password(text: str) -> str:
    """Return the form that is hashed, so that it does not matter which keyboard typed an accent."""
    return unicodedata.normalize("NFKC", text)


def check_new_password(
    password: str, *, field: str, email: str, display_name: str, common: Collection[str]
) -> None:
    """Refuse a normalised password that is too short, too long, untypable or among the first to be tried.

    Args:
        password: As `normalise_password` returns it.
        field: The field that a refusal names.
        email: The user's normalised address.
        display_name: The user's name.
        common: Passwords known to be common, in lower case.

    Raises:
        InvalidRequestError: `weak_password` with the reason.
    """
    reason = _unfit(password) or _weakness(password, email=email, display_name=display_name, common=common)
    if reason is not None:
        raise InvalidRequestError(
            "weak_password", f"Choose another password: it {reason}.", errors=[FieldError(field, reason)]
        )


def _unfit(password: str) -> str | None:
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        return f"has fewer than {MINIMUM_PASSWORD_LENGTH} characters"
    if len(password) > MAXIMUM_PASSWORD_LENGTH:
        return f"has more than {MAXIMUM_PASSWORD_LENGTH} characters"
    if any(unicodedata.category(character) in _UNTYPABLE for character in password):
        return "holds a control character, such as a line break, that no sign-in could type"
    return None


def _weakness(password: str, *, email: str, display_name: str, common: Collection[str]) -> str | None:
    folded = password.casefold()
    if folded in common or _is_run(folded):
        return "is among the most common ones"
    name = local_part(email).casefold()
    if len(name) >= _SHORTEST_TELLING_NAME and name in folded:
        return "contains the name of the email address"
    if folded.strip() == normalise_password(display_name).casefold().strip():
        return "is the display name"
    return None


def _is_run(password: str) -> bool:
    """Tell whether it repeats one character or counts up or down: `aaaaaaaa`, `12345678`, `hgfedcba`."""
    codes = [ord(character) for character in password]
    steps = {after - before for before, after in pairwise(codes)}
    return steps in ({0}, {1}, {-1})
