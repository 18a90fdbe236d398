"""What the routes of a user's own notices answer."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.names import DeliveryState, EventType
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.messages.own import OwnNotice


class OwnNoticeView(WireModel):
    """Something that the caller was told, or is about to be."""

    id: UuidText
    event_id: UuidText | None
    event_type: EventType | None
    channel: str
    state: Annotated[DeliveryState, Field(strict=False)]
    subject: str
    created_at: Instant
    due_at: Instant | None
    settled_at: Instant | None


class OwnNoticePage(WireModel):
    """Some of them and where the next page begins."""

    items: list[OwnNoticeView]
    next_cursor: str | None


class OwedTest(WireModel):
    """The delivery of the test message."""

    delivery_id: UuidText
    channel: str


def view_own(notice: OwnNotice) -> OwnNoticeView:
    """Show a notice to the user it is for."""
    delivery, event, subject = notice
    return OwnNoticeView(
        id=str(delivery.id),
        event_id=None if event is None else str(event.id),
        event_type=None if event is None else event.type,
        channel=delivery.owed.channel,
        state=delivery.state,
        subject=subject,
        created_at=delivery.created_at,
        due_at=delivery.due_at,
        settled_at=delivery.settled_at,
    )
