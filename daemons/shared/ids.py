"""Identifiers: UUID version 7 (RFC 9562), time-ordered and so cheap to index."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Make an id that sorts after all earlier ones of this process."""
    return uuid7()


def lowest_id_at(instant: datetime) -> UUID:
    """Return what sorts before every id made at that time or later."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)


def time_of(id_: UUID) -> datetime:
    """Return when an id was made, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)
