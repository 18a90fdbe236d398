"""Codes that prove that somebody reads the mail of an address (docs/adr/0028)."""

import hmac
from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from daemons.user_api.typed_codes import CODE_BYTES, normalise_code, write_code


class Purpose(StrEnum):
    """What a code is good for; no code serves another purpose."""

    REGISTRATION = "registration"
    TAKEN_ADDRESS = "taken_address"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose
    NEW_ADDRESS = "new_address"
    UNDO = "undo"
    KEEP_SECOND_FACTOR = "keep_second_factor"


class MailedCodes:
    """Derives each code from a secret and the id of the request that it answers; none is kept.

    The first key writes codes, the others are those that it replaced.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = keys

    def code(self, purpose: Purpose, request_id: UUID) -> str:
        """Return the code of a request, as it stands in the message."""
        return write_code(_derive(self._keys[0], purpose, request_id))

    def matches(self, purpose: Purpose, request_id: UUID, typed: str) -> bool:
        """Tell whether somebody typed the code of this request."""
        given = normalise_code(typed).encode()
        codes = (normalise_code(write_code(_derive(key, purpose, request_id))) for key in self._keys)
        return any(hmac.compare_digest(given, code.encode()) for code in codes)


def _derive(key: bytes, purpose: Purpose, request_id: UUID) -> bytes:
    return hmac.digest(key, f"{purpose.value}:{request_id}".encode(), "sha256")[:CODE_BYTES]
