"""What the routes of deliveries take and answer."""

from typing import Annotated

from pydantic import Field, StringConstraints

from daemons.contracts.names import DeliveryState
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.deliveries.delivery import Delivery
from daemons.shared.http.pages import PageQuery

StateName = Annotated[DeliveryState, Field(strict=False)]


class DeliveriesQuery(PageQuery):
    """Pages of deliveries, newest first."""

    state: StateName | None = None
    channel: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,19}$")] | None = None
    recipient: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    event: UuidText | None = None


class DeliveryView(WireModel):
    """A delivery. Its content is not shown: it may be a code."""

    id: UuidText
    cause: str
    """`event` or `message`."""
    cause_id: str
    channel: str
    recipient: str
    is_urgent: bool
    state: StateName
    attempts: int
    created_at: Instant
    due_at: Instant | None
    settled_at: Instant | None
    fault: str | None


class DeliveryPage(WireModel):
    """Some deliveries and where the next page begins."""

    items: list[DeliveryView]
    next_cursor: str | None


def view_delivery(delivery: Delivery) -> DeliveryView:
    """Show a delivery."""
    owed = delivery.owed
    return DeliveryView(
        id=str(delivery.id),
        cause=owed.cause.kind,
        cause_id=owed.cause.id,
        channel=owed.channel,
        recipient=owed.recipient,
        is_urgent=owed.is_urgent,
        state=delivery.state,
        attempts=delivery.attempts,
        created_at=delivery.created_at,
        due_at=delivery.due_at,
        settled_at=delivery.settled_at,
        fault=delivery.fault,
    )
