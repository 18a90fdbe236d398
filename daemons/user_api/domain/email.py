"""Email addresses as the names people sign in with."""

import re
import unicodedata

from daemons.contracts.errors import FieldError, InvalidRequestError

MAXIMUM_EMAIL_LENGTH = 254
# What every mail system takes; RFC 5321 allows more (quoted parts, bare hosts) that nobody types at a bank.
_ADDRESS = re.compile(
    r"""[^\s@"(),:;<>\[\]\\]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W_](?:[\w-]{0,61}[^\W_])""",
    re.VERBOSE,
)


def normalise_email(text: str) -> str:
    """Return the one form under which an address is stored and looked up: NFKC, lower case.

    Raises:
        InvalidRequestError: `invalid_request` naming `email` when it is no address.
    """
    address = _fold(_fold(text))
    if (
        len(address) > MAXIMUM_EMAIL_LENGTH
        or not address.isprintable()
        or not _ADDRESS.fullmatch(address)
        or any(not part for part in local_part(address).split("."))
    ):
        fault = FieldError("email", "must be an address such as name@example.com")
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: email: {fault.message}.", errors=[fault]
        )
    return address


def local_part(address: str) -> str:
    """Return what stands before the @."""
    return address.partition("@")[0]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
