"""Alerts to operators: events that somebody should look at, as SMS or push messages."""

from collections.abc import Sequence

from daemons.contracts.names import Severity
from daemons.notifier.channels.port import Message
from daemons.notifier.channels.push import PUSH
from daemons.notifier.deliveries.delivery import Cause, Delivery, Owed
from daemons.notifier.event import Event, data_from
from daemons.notifier.event_log.reader import MongoEventReader, cause_of
from daemons.notifier.notifications.notification import severity_of, text_of
from daemons.shared.mongo import Session


class OwedToOperators:
    """Owes each alert to every URL that is configured."""

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = recipients

    async def owed(self, events: Sequence[Event], _session: Session) -> list[Owed]:
        """Return what these events owe, in their order."""
        return [
            Owed(Cause.event(event.id), PUSH, recipient)
            for event in events
            if severity_of(event.data) is Severity.WARNING
            for recipient in self._recipients
        ]


class AlertMessages:
    """Writes an alert as the one sentence that the log has."""

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
            subject="The bank: somebody should look",
            text=text_of(data_from(event.type, event.data)),
        )
