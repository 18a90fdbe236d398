"""Recorded events page by page, and which are missing."""

from collections.abc import Sequence
from uuid import UUID

from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.http.pages import decode_number_cursor, encode_number_cursor


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
        start = decode_number_cursor(cursor)
        # One more than asked tells whether another page follows.
        if oldest_first:
            found = await self._reader.events_after(start or 0, selection=selection, limit=limit + 1)
        else:
            found = await self._reader.events_before(start, selection=selection, limit=limit + 1)
        page = found[:limit]
        return page, encode_number_cursor(page[-1].position) if len(found) > limit else None

    async def missing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of the ids under which no event is recorded."""
        recorded = await self._reader.recorded(ids)
        return [id_ for id_ in ids if id_ not in recorded]

    async def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""
        return await self._reader.last_position()
