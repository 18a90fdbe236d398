"""Secrets that must be read again are sealed, so that a copy of the database alone does not hold them."""

import os
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Sealer:
    """Seals under the first key (AES-256-GCM) and opens under any; the others are those it replaced."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [AESGCM(key) for key in keys]

    def seal(self, secret: str, owner: UUID) -> bytes:
        """Return the sealed secret; it opens for this owner only."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._keys[0].encrypt(nonce, secret.encode(), owner.bytes)

    def open(self, sealed: bytes, owner: UUID) -> str | None:
        """Return the secret; None if none of the keys opens it."""
        for key in self._keys:
            try:
                return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.bytes).decode()
            except InvalidTag:
                continue
        return None

    def is_current(self, sealed: bytes, owner: UUID) -> bool:
        """Tell whether it is sealed under the first key."""
        try:
            self._keys[0].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], owner.bytes)
        except InvalidTag:
            return False
        return True
