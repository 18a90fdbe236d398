"""What the route of notifications takes and answers."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.names import EventType, Severity
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.notifications.notification import Notification
from daemons.shared.http.pages import PageQuery

SeverityText = Annotated[Severity, Field(strict=False)]


class NotificationsQuery(PageQuery):
    """Pages of notifications, newest first."""

    severity: SeverityText | None = None

    @property
    def only(self) -> Severity | None:
        """The one severity asked for."""
        return self.severity


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
        severity=notification.severity,
        text=notification.text,
        account_ids=list(notification.account_ids),
        created_at=notification.created_at,
    )
