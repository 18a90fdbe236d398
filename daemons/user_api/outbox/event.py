"""An event that is owed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.contracts.names import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedEvent:
    """An event that is told once its change is committed; `data` is as docs/events/<type>.json says."""

    id: UUID
    type: EventType
    key: str
    time: datetime
    data: dict[str, Any]
