"""Identifiers: UUID version 7 (RFC 9562), time-ordered and so cheap to index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Make an id that sorts after all earlier ones of this process."""
    return uuid7()
