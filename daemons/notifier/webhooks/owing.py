"""What events owe to webhooks, and the message that a webhook gets."""

from collections.abc import Sequence

from daemons.notifier.channels.port import Message
from daemons.notifier.channels.webhook import WEBHOOK
from daemons.notifier.deliveries.delivery import Cause, Delivery, Owed
from daemons.notifier.event import Event
from daemons.notifier.event_log.models import view_event
from daemons.notifier.event_log.reader import MongoEventReader, cause_of
from daemons.notifier.webhooks.storage import MongoWebhooks
from daemons.shared.mongo import Session


class OwedToWebhooks:
    """Owes each event to the webhooks that take its type."""

    def __init__(self, store: MongoWebhooks) -> None:
        self._store = store

    async def owed(self, events: Sequence[Event], session: Session) -> list[Owed]:
        """Return what these events owe, in their order."""
        webhooks = await self._store.all_in(session)
        return [
            Owed(Cause.event(event.id), WEBHOOK, str(webhook.id))
            for event in events
            for webhook in webhooks
            if webhook.takes(event.type)
        ]


class EventMessages:
    """Makes the message of an event for programs: the event itself, in its wire form."""

    def __init__(self, reader: MongoEventReader) -> None:
        self._reader = reader

    async def compose(self, delivery: Delivery) -> Message:
        """Return the message.

        Raises:
            Refused: the event is not recorded.
        """
        event = await cause_of(delivery, self._reader)
        return Message(
            delivery_id=delivery.id,
            recipient=delivery.owed.recipient,
            subject=event.type.value,
            text="",
            event=view_event(event).model_dump(mode="json"),
        )
