"""Recorded events page by page, and which are missing."""

from collections.abc import Sequence
from uuid import UUID

from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.http.pages import decode_cursor, encode_cursor, invalid_cursor

LAST_POSITION = 2**63 - 1
POSITION_BYTES = 8


class EventHistory:
    """What readers see of the log."""

    def __init__(self, reader: MongoEventReader) -> None:
        self._reader = reader

    async def page(
        self, selection: Selection, *, oldest_first: bool, limit: int, cursor: str | None
    ) -> tuple[list[RecordedEvent], str | None]:
        """Return selected events and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
            TransientError: the database does not answer.
        """
        start = None if (raw := decode_cursor(cursor)) is None else read_position(raw)
        # One more than asked tells whether another page follows.
        if oldest_first:
            found = await self._reader.events_after(start or 0, selection=selection, limit=limit + 1)
        else:
            found = await self._reader.events_before(start, selection=selection, limit=limit + 1)
        page = found[:limit]
        return page, position_cursor(page[-1].position) if len(found) > limit else None

    async def missing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of the ids under which no event is recorded."""
        recorded = await self._reader.recorded(ids)
        return [id_ for id_ in ids if id_ not in recorded]

    async def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""
        return await self._reader.last_position()


def position_cursor(position: int) -> str:
    """Make the cursor of an event's position."""
    return encode_cursor(position.to_bytes(POSITION_BYTES, "big"))


def read_position(raw: bytes) -> int:
    """Return the position that a cursor holds.

    Raises:
        InvalidRequestError: `invalid_cursor`.
    """
    position = int.from_bytes(raw, "big")
    if len(raw) != POSITION_BYTES or position > LAST_POSITION:
        raise invalid_cursor()
    return position
