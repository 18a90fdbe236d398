"""An event, as it came and as it was recorded, and which events a reader asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from pydantic_core import to_json

from daemons.contracts.events.table import DATA_MODELS, EventData
from daemons.contracts.names import EventType, Severity


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded event. `document` is `data` as JSON types, the form in which it is kept and shown.

    `partition` and `offset` are its record's place on the topic, which has the type's name.
    """

    id: UUID
    type: EventType
    source: str
    key: str
    time: datetime
    data: EventData
    document: dict[str, Any]
    partition: int
    offset: int

    @property
    def account_ids(self) -> tuple[str, ...]:
        """The accounts the event speaks of, each once."""
        return tuple(dict.fromkeys(party.account_id for party in self.data.parties()))

    @property
    def user_ids(self) -> tuple[str, ...]:
        """The users the event speaks of: owners, and who asked for it; each once."""
        return tuple(dict.fromkeys(self.data.users()))

    @property
    def amount(self) -> Decimal | None:
        """What was moved, or was to be, in units of its currency."""
        moved = self.data.moved()
        return None if moved is None else Decimal(moved.amount)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEvent:
    """An event with its place in the one order of all. Compared by identity, for streams share it."""

    position: int
    id: UUID
    type: EventType
    source: str
    key: str
    time: datetime
    data: dict[str, Any]
    severity: Severity
    account_ids: Sequence[str]
    user_ids: Sequence[str]
    amount: Decimal | None
    partition: int
    offset: int
    received_at: datetime


def data_from(event_type: EventType, document: Any) -> EventData:
    """Return the data of an event that was kept as JSON types, as its model.

    Raises:
        ValidationError: they are not such an event's.
    """
    return cast("EventData", DATA_MODELS[event_type].model_validate_json(to_json(document)))


@dataclass(frozen=True, slots=True)
class Selection:
    """The events that meet every condition that is given.

    Of any of these types; that speak of this account, and of this user; of at least this amount, in units of
    its currency, whichever that is; that happened at this time or later.
    """

    types: frozenset[EventType] = frozenset()
    account_id: str | None = None
    user_id: str | None = None
    minimum: Decimal | None = None
    since: datetime | None = None

    @property
    def takes_all(self) -> bool:
        """Tell whether nothing is filtered out."""
        return self == _ALL

    def matches(self, event: RecordedEvent) -> bool:
        """Tell whether the event was asked for."""
        return (
            (not self.types or event.type in self.types)
            and (self.account_id is None or self.account_id in event.account_ids)
            and (self.user_id is None or self.user_id in event.user_ids)
            and (self.minimum is None or (event.amount is not None and event.amount >= self.minimum))
            and (self.since is None or event.time >= self.since)
        )


_ALL = Selection()


def magnitude(amount: Decimal) -> int:
    """Return the power of ten of an amount; amounts are found by it (event_log/reader.py)."""
    return amount.adjusted()


LARGEST_MAGNITUDE = 18
"""Of 2^63 - 1 units of a currency that has no smaller ones."""
