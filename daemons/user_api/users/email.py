"""Email addresses as the names people sign in with."""

import re
import unicodedata

from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.user_api.users.confusables import mixes_scripts

MAXIMUM_EMAIL_LENGTH = 254
# What every mail system takes; RFC 5321 allows more (quoted parts, bare hosts) that nobody types at a bank.
_ADDRESS = re.compile(
    r"""[^\s@"(),:;<>\[\]\\]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])""",
    re.VERBOSE,
)


def normalise_email(text: str) -> str:
    """Return the one form under which an address is stored and looked up: NFKC, lower case.

    Raises:
        InvalidRequestError: `invalid_request` naming `email` when it is no address, or one that looks like
            another because it mixes scripts.
    """
    address = _fold(_fold(text))
    if (
        len(address) > MAXIMUM_EMAIL_LENGTH
        or not address.isprintable()
        or not _ADDRESS.fullmatch(address)
        or any(not part for part in local_part(address).split("."))
    ):
        raise _refused("must be an address such as name@example.com")
    name, _, domain = address.rpartition("@")
    for part in (name, *domain.split(".")):
        if mixes_scripts(part):
            raise _refused(f"must not mix the letters of several scripts, as {part!a} does")
    return address


def local_part(address: str) -> str:
    """Return what stands before the @."""
    return address.partition("@")[0]


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(
        "invalid_request", f"The request is malformed: email: {why}.", errors=[FieldError("email", why)]
    )


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
