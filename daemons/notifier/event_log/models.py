"""What the notifier answers."""

from typing import Any, Literal

from daemons.contracts.events import EventType
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.event import RecordedEvent
from daemons.notifier.notifications.notification import Notification
from daemons.shared.http.lines import ProgressView

SeverityText = Literal["info", "warning"]


class EventView(WireModel):
    """A recorded event. `data` is as docs/events/<type>.json says."""

    position: int
    id: UuidText
    type: EventType
    time: Instant
    key: str
    source: str
    data: dict[str, Any]
    severity: SeverityText
    received_at: Instant


class EventPage(WireModel):
    """Some events and where the next page begins."""

    items: list[EventView]
    next_cursor: str | None


class NotificationView(WireModel):
    """The notification of an event."""

    id: UuidText
    event_id: UuidText
    event_type: EventType
    channel: str
    severity: SeverityText
    text: str
    account_ids: list[str]
    created_at: Instant


class NotificationPage(WireModel):
    """Some notifications and where the next page begins."""

    items: list[NotificationView]
    next_cursor: str | None


class DigestView(WireModel):
    """Count and digest of a set of event ids; see daemons/contracts/digest.py."""

    count: int
    digest: str


class EventProofView(WireModel):
    """What the notifier holds of journal transactions; both equal the ledger's when all has arrived."""

    transactions: DigestView
    notifications: DigestView


class MissingEvents(WireModel):
    """Those of the ids asked for under which no event is recorded."""

    missing: list[UuidText]


class EventProofLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: EventProofView | None = None
    problem: dict[str, object] | None = None


def view_event(event: RecordedEvent) -> EventView:
    """Show an event."""
    return EventView(
        position=event.position,
        id=str(event.id),
        type=event.type,
        time=event.time,
        key=event.key,
        source=event.source,
        data=event.data,
        severity=event.severity.value,
        received_at=event.received_at,
    )


def view_notification(notification: Notification) -> NotificationView:
    """Show a notification."""
    return NotificationView(
        id=str(notification.id),
        event_id=str(notification.event_id),
        event_type=notification.event_type,
        channel=notification.channel,
        severity=notification.severity.value,
        text=notification.text,
        account_ids=list(notification.account_ids),
        created_at=notification.created_at,
    )
