"""Tells of records as events: they never change, so an event is made of its record when it goes out."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from daemons.banking_api.kinds.kind import Event, concerned
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.digest import event_content
from daemons.contracts.names import EventType
from daemons.contracts.wire import format_instant
from daemons.shared.kafka.records import OutgoingRecord, event_headers

SOURCE = "/banking_api"
BANK_HEADER = "ce_bankid"
"""The bank that tells it, by the id that it has for good: several may share a Kafka."""
_MADE_AT_ONCE = 250


def topic_of(record: Record) -> str:
    """Return the topic of a record's event."""
    if record.failure is not None:
        return EventType.TRANSACTION_FAILED.value
    return KINDS[record.kind].completed.value


class _NoNames(defaultdict[UUID, dict[str, Any]]):
    """Users as events name them, but for their names."""

    def __missing__(self, user_id: UUID) -> dict[str, Any]:
        return {"user_id": str(user_id)}


def content_of(record: Record) -> bytes:
    """Return what a proof compares of a record's event.

    Raises:
        AssertionError, AttributeError, KeyError, TypeError, ValueError: the record is none of ours.
    """
    event = KINDS[record.kind].event(record, _NO_NAMES)
    return event_content(event.type.value, event.key, format_instant(event.occurred_at), event.data)


_NO_NAMES = _NoNames()


class EventEncoder:
    """Turns records into Kafka's; the names of all users are asked for once."""

    def __init__(self, directory: UserDirectory, *, bank_id: UUID) -> None:
        self._directory = directory
        self._bank_id = str(bank_id)

    async def encode(self, records: Sequence[Record]) -> list[OutgoingRecord]:
        """Return the events in the records' order.

        Raises:
            TransientError: the names cannot be had now.
        """
        names = await self._directory.names({user for record in records for user in concerned(record)})
        users: dict[UUID, dict[str, Any]] = {
            user_id: {"user_id": str(user_id), "display_name": name} for user_id, name in names.items()
        }
        made: list[OutgoingRecord] = []
        for record in records:
            if len(made) % _MADE_AT_ONCE == _MADE_AT_ONCE - 1:
                # However many events go out, requests are answered in between.
                await asyncio.sleep(0)
            made.append(self._outgoing(KINDS[record.kind].event(record, users)))
        return made

    def _outgoing(self, event: Event) -> OutgoingRecord:
        headers = event_headers(
            event_id=event.id, event_type=event.type.value, source=SOURCE, time=event.occurred_at
        )
        headers[BANK_HEADER] = self._bank_id
        return OutgoingRecord(
            topic=event.type.value, key=event.key, value=to_json(event.data), headers=headers
        )
