"""An event, as it came and as it was recorded, and which events a reader asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from pydantic_core import to_json

from daemons.contracts.events.table import DATA_MODELS, EventData
from daemons.contracts.names import EventType, Severity


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded event. `document` is `data` as JSON types, the form in which it is kept and shown."""

    id: UUID
    type: EventType
    source: str
    key: str
    time: datetime
    data: EventData
    document: dict[str, Any]

    @property
    def account_ids(self) -> tuple[str, ...]:
        """The accounts the event speaks of, each once."""
        return tuple(dict.fromkeys(party.account_id for party in self.data.parties()))


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
    received_at: datetime


def data_from(event_type: EventType, document: Any) -> EventData:
    """Return the data of an event that was kept as JSON types, as its model.

    Raises:
        ValidationError: they are not such an event's.
    """
    return cast("EventData", DATA_MODELS[event_type].model_validate_json(to_json(document)))


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of any of these types (none given: of all) that speak of this account (none given: of any)."""

    types: frozenset[EventType] = frozenset()
    account_id: str | None = None

    @property
    def takes_all(self) -> bool:
        """Tell whether nothing is filtered out."""
        return not self.types and self.account_id is None

    def matches(self, event: RecordedEvent) -> bool:
        """Tell whether the event was asked for."""
        if self.types and event.type not in self.types:
            return False
        return self.account_id is None or self.account_id in event.account_ids
