"""An event, as it came and as it was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.contracts.events import (
    AccountAdjusted,
    AccountChanged,
    AccountFundedPayload,
    EventType,
    TransactionCompleted,
    TransactionFailed,
)
from daemons.notifier.severity import Severity

EventData = TransactionCompleted | TransactionFailed | AccountFundedPayload | AccountAdjusted | AccountChanged


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
        match self.data:
            case AccountChanged(account_id=account_id):
                named = [account_id]
            case AccountAdjusted(account=account):
                named = [account.account_id]
            case AccountFundedPayload(receiver=receiver):
                named = [receiver.account_id]
            case TransactionCompleted() | TransactionFailed() as data:
                named = [data.sender.account_id, data.receiver.account_id]
        return tuple(dict.fromkeys(named))


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
