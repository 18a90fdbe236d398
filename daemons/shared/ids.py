"""Identifiers: UUID version 7 (RFC 9562), time-ordered and so cheap to index."""

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Make an id that sorts after all earlier ones of this process."""
    return uuid7()


def new_id_text() -> str:
    """Make the text of such an id, for names that are only written down; it takes less time."""
    return str(uuid_utils.uuid7())


def lowest_id_at(instant: datetime) -> UUID:
    """Return what sorts before every id made at that time or later."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)


def time_of(id_: UUID) -> datetime:
    """Return when an id was made, to the millisecond."""
    return datetime.fromtimestamp((id_.int >> 80) / 1000, UTC)


def text_of(id_: UUID) -> str:
    """Return `str(id_)` in half the time, for answers with thousands of ids."""
    digits = id_.bytes.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
