"""What the route of notifications takes and answers."""

from typing import Literal

from daemons.contracts.events import EventType
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.event import Severity
from daemons.notifier.notifications.notification import Notification
from daemons.shared.http.pages import PageQuery

SeverityText = Literal["info", "warning"]


class NotificationsQuery(PageQuery):
    """Pages of notifications, newest first."""

    severity: Literal["info", "warning"] | None = None

    @property
    def only(self) -> Severity | None:
        """The one severity asked for."""
        return Severity(self.severity) if self.severity else None


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
