"""Codes that prove that somebody reads the mail of an address (docs/adr/0028)."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
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


LINKED = frozenset({Purpose.REGISTRATION, Purpose.PASSWORD_RESET})
"""What a link does as well: it takes no session."""
LINK_PATH = "/auth/mailed-link"
LINK_PATTERN = r"^[A-Za-z0-9_-]{43}$"
_ID_BYTES = _MAC_BYTES = 16


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

    def link(self, purpose: Purpose, request_id: UUID) -> str:
        """Return the path of the link that stands for the code of a request; it names no address."""
        token = request_id.bytes + _derive_link(self._keys[0], purpose, request_id)
        return f"{LINK_PATH}?token={urlsafe_b64encode(token).decode().rstrip('=')}"

    def proves(self, purpose: Purpose, request_id: UUID, token: str) -> bool:
        """Tell whether the token is that of a link to this request."""
        given = urlsafe_b64decode(f"{token}=")[_ID_BYTES:]
        return any(hmac.compare_digest(given, _derive_link(key, purpose, request_id)) for key in self._keys)


def request_named_by(token: str) -> UUID:
    """Return the request that the token of a link names; whether it may, `MailedCodes.proves` tells."""
    return UUID(bytes=urlsafe_b64decode(f"{token}=")[:_ID_BYTES])


def _derive_link(key: bytes, purpose: Purpose, request_id: UUID) -> bytes:
    return hmac.digest(key, f"link {purpose.value}:{request_id}".encode(), "sha256")[:_MAC_BYTES]


def _derive(key: bytes, purpose: Purpose, request_id: UUID) -> bytes:
    return hmac.digest(key, f"{purpose.value}:{request_id}".encode(), "sha256")[:CODE_BYTES]
