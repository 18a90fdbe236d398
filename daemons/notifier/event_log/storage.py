"""The log of events: appended to in one order (docs/adr/0006), together with what each event has effected."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.notifier.documents import event_document, notification_document
from daemons.notifier.event import Event
from daemons.notifier.event_log.reader import newest_position
from daemons.notifier.notifications.notification import Notification
from daemons.shared.mongo import Database, Session, insert_all, run_transaction

Entry = tuple[Event, Notification]
Alongside = Callable[[Sequence[Entry], Session], Awaitable[None]]
"""Receives the new entries, and writes what must be written together with them; may run again."""


class MongoEventLog:
    """Writes events and notifications; each once, however often and by whomever."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._events = database["events"]
        self._notifications = database["notifications"]
        self._end: int | None = None
        """The position behind the last event that this process wrote."""
        self._alone = False
        """Nobody else had written in between, so the end need not be looked for: a wrong guess is refused."""

    async def append(self, entries: Sequence[Entry], *, alongside: Alongside | None = None) -> list[Entry]:
        """Write the entries whose events are not recorded yet, in one transaction, and return those.

        Raises:
            TransientError: it may not have been done; doing it again is safe.
        """
        if not entries and alongside is None:
            return []

        async def body(look: bool, session: Session) -> tuple[int, list[Entry]]:
            fresh = await self._fresh(entries, session if look else None)
            begin = await self._write(fresh, session) if fresh else 0
            if alongside is not None:
                await alongside(fresh, session)
            return begin, fresh

        try:
            try:
                begin, written = await run_transaction(self._client, partial(body, False))
            except DuplicateKeyError:
                # Another process has written, or some have come before, which is rare: only now are these
                # looked for.
                self._alone = False
                begin, written = await run_transaction(self._client, partial(body, True))
        except (OutcomeUnknownError, DuplicateKeyError) as error:
            raise TransientError(
                "unavailable", "The events may not have been recorded; try again."
            ) from error
        if written:
            self._alone = self._end in (None, begin)
            self._end = begin + len(written)
        return written

    async def _fresh(self, entries: Sequence[Entry], session: Session | None) -> list[Entry]:
        """The entries, each event once; with a session, without those whose events it finds recorded."""
        fresh: dict[UUID, Entry] = {}
        for entry in entries:
            fresh.setdefault(entry[0].id, entry)
        known = await self._known([*fresh], session) if session is not None else set()
        return [entry for event_id, entry in fresh.items() if event_id not in known]

    async def _known(self, ids: list[UUID], session: Session) -> set[UUID]:
        found = self._events.find({"id": {"$in": ids}}, {"_id": 0, "id": 1}, session=session)
        return {document["id"] async for document in found}

    async def _write(self, entries: Sequence[Entry], session: Session) -> int:
        """Write the entries at the end of the log, and return the first one's position."""
        known_end = self._end if self._alone else None
        begin = known_end or await newest_position(self._events, session) + 1
        placed = [(begin + index, *entry) for index, entry in enumerate(entries)]
        events = [event_document(event, told, position=position) for position, event, told in placed]
        notifications = [notification_document(told, position=position) for position, _, told in placed]
        await insert_all(self._events, events, session=session)
        await insert_all(self._notifications, notifications, session=session)
        return begin
