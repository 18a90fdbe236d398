"""Proves what the notifier holds: the log is whole, and every notification is its event's.

The command line compares the digest of all events with the ledger's. The rest an event itself decides: its
notification is written again and compared with the one that is stored.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from pydantic import ValidationError
from pymongo import ASCENDING
from pymongo.errors import PyMongoError

from daemons.contracts.digest import EventSetDigest, event_content
from daemons.contracts.names import EventType
from daemons.contracts.wire import format_instant
from daemons.notifier.event import Event, data_from
from daemons.notifier.event_log.storage import event_document
from daemons.notifier.notifications.notification import notification_of
from daemons.notifier.notifications.storage import notification_document
from daemons.shared.findings import Findings
from daemons.shared.http.event_sets import EventSetQuery
from daemons.shared.mongo import Client, Database, Document, Session, unavailable
from daemons.shared.progress import Progress

LEDGER = "/banking_api"
"""The source of the events that the ledger tells."""
_AT_ONCE = 500
_BETWEEN_PAUSES = 50
"""Documents that have arrived are read without waiting; streams and the consumer want their turn."""
_NO_ID = UUID(int=0)


@dataclass(slots=True)
class EventProof(Findings):
    """What was found: the ledger's events, those of them that have their right notification, and faults."""

    events: EventSetDigest = field(default_factory=EventSetDigest)
    notifications: EventSetDigest = field(default_factory=EventSetDigest)
    goes_on_after: int | None = None
    """The position before the first event of the ledger that is as new as the end of what is asked for."""
    last_position: int = 0


class EventProver:
    """Reads the whole log and all notifications once; one proof at a time."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database
        self._one_at_a_time = asyncio.Lock()

    async def prove_events(self, progress: Progress, scope: EventSetQuery, *, after: int = 0) -> EventProof:
        """Prove what is stored as of now behind a position; the digests are of what is asked for.

        Raises:
            TransientError: the database does not answer.
        """
        async with self._one_at_a_time:
            try:
                async with self._client.start_session(snapshot=True) as session:
                    return await self._prove(progress, scope, session, after)
            except PyMongoError as error:
                raise unavailable(error) from error

    async def _prove(
        self, progress: Progress, scope: EventSetQuery, session: Session, after: int
    ) -> EventProof:
        proof = EventProof(events=scope.digest(), notifications=scope.digest())
        stored = await self._database["events"].estimated_document_count()
        progress.enter("events", total=max(0, stored - after))
        notifications = _Notifications(self._stream("notifications", "position", session, after), proof)
        position = after
        async for document in self._stream("events", "_id", session, after):
            position = _check_position(document["_id"], position, proof)
            found = await notifications.of(document["_id"])
            _check_event(document, found, proof, scope)
            progress.done += 1
            if progress.done % _BETWEEN_PAUSES == 0:
                await asyncio.sleep(0)
        await notifications.end()
        proof.last_position = position
        return proof

    def _stream(self, name: str, order: str, session: Session, after: int) -> AsyncIterator[Document]:
        # From the beginning on, what stands at no position is read as well.
        wanted: Document = {order: {"$gt": after}} if after else {}
        found = self._database[name].find(wanted, session=session).sort(order, ASCENDING)
        return aiter(found.batch_size(_AT_ONCE))


class _Notifications:
    """The notifications one after another, as the events come under whose positions they stand."""

    def __init__(self, stream: AsyncIterator[Document], proof: EventProof) -> None:
        self._stream = stream
        self._proof = proof
        self._next: Document | None = None
        self._has_begun = False

    async def of(self, position: Any) -> list[Document]:
        """Return those of an event; what stands between two events is a finding."""
        if not self._has_begun:
            self._has_begun = True
            await self._read()
        found = []
        while self._next is not None and _is_up_to(self._next.get("position"), position):
            if self._next.get("position") == position:
                found.append(self._next)
            else:
                self._report_stray()
            await self._read()
        return found

    async def end(self) -> None:
        """Name what belongs to no event; nothing more comes."""
        await self.of(float("inf"))
        while self._next is not None:
            self._report_stray()
            await self._read()

    async def _read(self) -> None:
        self._next = await anext(self._stream, None)

    def _report_stray(self) -> None:
        assert self._next is not None  # noqa: S101 - it was looked at just before
        self._proof.report(f"notification {self._next['_id']}", "stands at the position of no event")


def _is_up_to(position: Any, limit: Any) -> bool:
    # What is no number sorts before or after all numbers, and is read then.
    return not isinstance(position, int) or not isinstance(limit, int | float) or position <= limit


def _check_position(position: Any, before: int, proof: EventProof) -> int:
    if not isinstance(position, int):
        proof.report(f"event at {position!r}", "stands at no position")
        return before
    if position != before + 1:
        missing = f"{before + 1}" if position == before + 2 else f"{before + 1} to {position - 1}"
        proof.report(f"event at {missing}", "is missing")
    return position


def _check_event(
    document: Document, notifications: list[Document], proof: EventProof, scope: EventSetQuery
) -> None:
    try:
        event = _event_of(document)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        proof.report(f"event at {document['_id']}", f"cannot be read: {type(error).__name__}")
        return
    name = str(event.id)
    received_at = document.get("received_at")
    right = notification_of(event, notification_id=_NO_ID, created_at=cast("Any", received_at))
    expected = event_document(event, right, position=document["_id"])
    for field_name in _differing(document, expected):
        proof.report(name, f"its {field_name} is not what its data say")
    is_told = False
    wanted = notification_document(right, document["_id"])
    for found in notifications:
        differing = _differing(found, {**wanted, "_id": found["_id"]})
        for field_name in differing:
            proof.report(name, f"the {field_name} of its notification {found['_id']} is not what it says")
        is_told = is_told or not differing
    if not notifications:
        proof.report(name, "has no notification")
    if event.source == LEDGER and proof.goes_on_after is None and scope.reaches(event.time):
        proof.goes_on_after = document["_id"] - 1
    if event.source == LEDGER and scope.covers(event.time):
        content = event_content(event.type.value, event.key, format_instant(event.time), event.document)
        proof.events.add(event.id, content)
        if is_told:
            proof.notifications.add(event.id, content)


def _event_of(document: Document) -> Event:
    event_type = EventType(document["type"])
    data = data_from(event_type, document["data"])
    time = format_instant(document["time"])
    if not isinstance(document["id"], UUID) or not time:
        raise TypeError("the id is none")
    return Event(
        id=document["id"],
        type=event_type,
        source=document["source"],
        key=document["key"],
        time=document["time"],
        data=data,
        document=document["data"],
        partition=document["partition"],
        offset=document["offset"],
    )


def _differing(found: Document, expected: Document) -> list[str]:
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
