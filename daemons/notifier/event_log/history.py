"""Recorded events page by page, and which are missing."""

from collections.abc import Sequence
from uuid import UUID

from daemons.contracts.errors import NotFoundError
from daemons.notifier.event import RecordedEvent, Selection, data_from
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.http.pages import decode_number_cursor, encode_number_cursor

_LOOKED_AT = 20
"""How many events of an account are looked at for its owner."""


class EventHistory:
    """What readers see of the log."""

    def __init__(self, reader: MongoEventReader) -> None:
        self._reader = reader

    async def page(
        self,
        selection: Selection,
        *,
        first: UUID | None,
        oldest_first: bool,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[RecordedEvent], str | None]:
        """Return selected events, none before `first`, and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
            NotFoundError: `event_not_found`, there is no event `first`.
            TransientError: the database does not answer.
        """
        start = decode_number_cursor(cursor)
        above = await self.position_before(selection, first=first)
        # One more than asked tells whether another page follows.
        if oldest_first:
            found = await self._reader.events_after(
                max(start or 0, above), selection=selection, limit=limit + 1
            )
        else:
            found = await self._reader.events_before(start, selection=selection, limit=limit + 1, above=above)
        page = found[:limit]
        return page, encode_number_cursor(page[-1].position) if len(found) > limit else None

    async def customers_of(self, selection: Selection) -> set[str]:
        """Return the users whose events are selected, none for a selection of everybody's.

        An account whose owner no event has named yet stands for its owner.
        """
        named = set() if selection.user_id is None else {selection.user_id}
        if selection.account_id is not None:
            newest = Selection(account_id=selection.account_id)
            found = await self._reader.events_before(None, selection=newest, limit=_LOOKED_AT)
            owners = [
                party.owner.user_id
                for event in found
                for party in data_from(event.type, event.data).parties()
                if party.owner is not None and party.account_id == selection.account_id
            ]
            named.update(owners or [selection.account_id])
        return named

    async def missing(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of the ids under which no event is recorded."""
        recorded = await self._reader.recorded(ids)
        return [id_ for id_ in ids if id_ not in recorded]

    async def find(self, event_id: UUID) -> RecordedEvent:
        """Return an event.

        Raises:
            NotFoundError: `event_not_found`.
            TransientError: the database does not answer.
        """
        event = await self._reader.find(event_id)
        if event is None:
            raise NotFoundError("event_not_found", f"There is no event {event_id}, or not yet.")
        return event

    async def position_before(self, selection: Selection, *, first: UUID | None) -> int:
        """Return a position behind which everything selected is, from the event `first` on; 0 for the start.

        Raises:
            NotFoundError: `event_not_found`, there is no event `first`.
            TransientError: the database does not answer.
        """
        since = 0 if selection.since is None else await self._reader.position_before(selection.since)
        return since if first is None else max(since, (await self.find(first)).position - 1)

    async def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none."""
        return await self._reader.last_position()
