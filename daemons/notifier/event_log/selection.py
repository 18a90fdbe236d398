"""Which events a reader asked for."""

from dataclasses import dataclass

from daemons.contracts.events import EventType
from daemons.notifier.event import RecordedEvent


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
