"""Refresh tokens: each is used once and buys an access token and its own successor (docs/adr/0005)."""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

REPETITION_GRACE = timedelta(seconds=10)
"""How long the predecessor of an unused token is answered again: a cut line, or two commands at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """What is kept of a token; the token itself is not."""

    digest: bytes
    session_id: UUID
    expires_at: datetime
    used_at: datetime | None = None
    successor: bytes | None = None


def digest_of(token: str) -> bytes:
    """Return the form in which a token is kept; 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def successor_of(token: str, key: bytes) -> str:
    """Return the one token that follows: unguessable without the key, and the same when asked again."""
    return urlsafe_b64encode(hmac.digest(key, token.encode(), "sha256")).decode().rstrip("=")


def is_repetition(used: RefreshToken, successor: RefreshToken | None, now: datetime) -> bool:
    """Tell a token that was just exchanged from one that somebody else must have: the reuse of an old one.

    Args:
        used: The token that is offered although it was exchanged already.
        successor: What it was exchanged for.
        now: The time of the request.
    """
    return (
        used.used_at is not None
        and now < used.used_at + REPETITION_GRACE
        and successor is not None
        and successor.used_at is None
    )
