"""Signed links by which somebody stops the messages over one channel, without signing in (RFC 8058)."""

import base64
import binascii
import hmac
from uuid import UUID

from daemons.contracts.errors import NotFoundError, TransientError
from daemons.notifier.reading import reading
from daemons.notifier.schema import LINK_KEY
from daemons.shared.mongo import Database

_MAC_BYTES = 16
_ID_BYTES = 16


class UnsubscribeLinks:
    """Makes and reads links. The key is made once for the database, so links outlive every rotation."""

    def __init__(self, database: Database, public_url: str) -> None:
        self._keys = database["keys"]
        self._public_url = public_url.rstrip("/")
        self._key: bytes | None = None

    async def url(self, user_id: UUID, channel: str) -> str:
        """Return the link for a user and a channel.

        Raises:
            TransientError: the key cannot be read now.
        """
        named = user_id.bytes + channel.encode()
        token = base64.urlsafe_b64encode(_mac(await self._secret(), named) + named).decode().rstrip("=")
        return f"{self._public_url}/notifications/unsubscribe?token={token}"

    async def read(self, token: str) -> tuple[UUID, str]:
        """Return the user and the channel that a link names.

        Raises:
            NotFoundError: `link_unknown`; it was not made here.
            TransientError: the key cannot be read now.
        """
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise _unknown() from None
        mac, named = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(named) <= _ID_BYTES or not hmac.compare_digest(mac, _mac(await self._secret(), named)):
            raise _unknown()
        return UUID(bytes=named[:_ID_BYTES]), named[_ID_BYTES:].decode()

    async def _secret(self) -> bytes:
        if self._key is None:
            with reading():
                found = await self._keys.find_one({"_id": LINK_KEY})
            if found is None:
                raise TransientError("unavailable", "The notifier has not started yet; try again.")
            self._key = bytes(found["key"])
        return self._key


def _mac(key: bytes, named: bytes) -> bytes:
    return hmac.digest(key, b"unsubscribe:" + named, "sha256")[:_MAC_BYTES]


def _unknown() -> NotFoundError:
    return NotFoundError("link_unknown", "This link is not one of ours, or it was cut off.")
