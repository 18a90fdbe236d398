"""Sessions: what a sign-in begins, until it is ended, too old, or unused for too long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from daemons.contracts.errors import NotFoundError

_HANDLES = UUID("5a3f0a52-1d0c-4a57-9f43-0b8f7f6e2c11")
SEEN_RESOLUTION = timedelta(minutes=1)
"""How exactly the last use is kept: one write a minute, not one per request."""
DEVICE_KNOWN_FOR = timedelta(days=180)
"""How long a device is known after its last sign-in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session lives at most, how long unused, how long one access token (OWASP ASVS 5.0 V7.3)."""

    lifetime: timedelta
    idle: timedelta
    access: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in. Removing it ends it; it holds no secret."""

    id: UUID
    user_id: UUID
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    address: str
    device: str

    @property
    def handle(self) -> UUID:
        """The name by which the session is shown and recorded."""
        return handle_of(self.id)

    def lives(self, now: datetime, limits: SessionLimits) -> bool:
        """Tell whether it is neither too old nor unused for too long."""
        return now < self.ends_at(limits)

    def ends_at(self, limits: SessionLimits) -> datetime:
        """Return when it ends by itself unless it is used before."""
        return min(self.expires_at, self.last_seen_at + limits.idle)

    def last_use_is_stale(self, now: datetime) -> bool:
        """Tell whether the kept time of last use should be renewed."""
        return now >= self.last_seen_at + SEEN_RESOLUTION

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps of the session."""
        return {"session": str(self.handle), "device": self.device, "address": self.address}


def handle_of(session_id: UUID) -> UUID:
    """Return the public name of a session: its id is in its tokens alone, and cannot be had from this."""
    return uuid5(_HANDLES, session_id.hex)


def session_not_found() -> NotFoundError:
    """The error for an id that none of the user's sessions has."""
    return NotFoundError("session_not_found", "You have no such session.")
