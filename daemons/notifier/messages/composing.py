"""Messages to users: written when they are sent, in the language that the user wants then."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from daemons.contracts.names import Language
from daemons.notifier.channels.port import Message, Refused
from daemons.notifier.deliveries.delivery import Delivery
from daemons.notifier.deliveries.worker import NotYetError
from daemons.notifier.directory import UserDirectory
from daemons.notifier.event import RecordedEvent, data_from
from daemons.notifier.event_log.models import view_event
from daemons.notifier.event_log.reader import MongoEventReader, cause_of
from daemons.notifier.messages.event_values import template_of, values_of
from daemons.notifier.messages.texts import Text, Texts
from daemons.notifier.preferences.notices import Notice, notices_in
from daemons.notifier.preferences.preferences import Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.shared.clock import Clock, utc_now

UnsubscribeUrl = Callable[[UUID, str], Awaitable[str]]
"""The link by which a user stops the messages over a channel."""


class UserMessages:
    """Composes what users get. The address is their e-mail's; other channels derive theirs from the user."""

    def __init__(
        self,
        reader: MongoEventReader,
        preferences: MongoPreferences,
        directory: UserDirectory,
        texts: Texts,
        *,
        unsubscribe_url: UnsubscribeUrl,
        clock: Clock = utc_now,
    ) -> None:
        self._reader = reader
        self._preferences = preferences
        self._directory = directory
        self._texts = texts
        self._unsubscribe_url = unsubscribe_url
        self._clock = clock

    async def compose(self, delivery: Delivery) -> Message:
        """Write the message of a delivery.

        Raises:
            NotYetError: the user's quiet hours are not over.
            Refused: it has expired, or the user does not exist any more.
            TransientError: something is unknown at the moment.
        """
        if delivery.owed.cause.kind == "message":
            return await self._ordered(delivery)
        return await self._of_event(delivery)

    async def _of_event(self, delivery: Delivery) -> Message:
        user_id = UUID(delivery.owed.recipient)
        event = await cause_of(delivery, self._reader)
        preferences = await self._preferences.of(delivery.owed.recipient)
        if not delivery.owed.is_urgent and (until := preferences.quiet_until(self._clock())):
            raise NotYetError(until)
        person = await self._directory.find(user_id)
        if person is None:
            raise Refused("the user does not exist any more")
        unsubscribe = (
            None if delivery.owed.is_urgent else await self._unsubscribe_url(user_id, delivery.owed.channel)
        )
        written = self.text_for(
            event, delivery.owed.recipient, preferences, name=person.name, unsubscribe_url=unsubscribe
        )
        if written is None:
            raise Refused("the event does not concern the user")
        return Message(
            delivery.id,
            person.email,
            written.subject,
            written.text,
            written.html,
            event=view_event(event).model_dump(mode="json"),
            unsubscribe_url=unsubscribe,
        )

    def text_for(
        self,
        event: RecordedEvent,
        user_id: str,
        preferences: Preferences,
        *,
        name: str,
        unsubscribe_url: str | None = None,
    ) -> Text | None:
        """Write what an event says to a user, None if it does not concern them."""
        data = data_from(event.type, event.data)
        found: Notice | None = next((one for one in notices_in(data) if one.user_id == user_id), None)
        if found is None:
            return None
        values = {"name": name, **values_of(found, data, preferences)}
        return self._texts.write(
            template_of(found, data), preferences.language, values, unsubscribe_url=unsubscribe_url
        )

    async def _ordered(self, delivery: Delivery) -> Message:
        order: dict[str, Any] = dict(delivery.owed.order or {})
        if not order:
            raise Refused("its content is erased")
        if order["expires_at"] is not None and order["expires_at"] <= self._clock():
            raise Refused("it has expired")
        language = Language(order["language"])
        if order["user_id"] is not None:
            language = (await self._preferences.chosen_language(order["user_id"])) or language
        values = {"name": order["name"], **order["values"]}
        written = self._texts.write(order["template"], language, values)
        return Message(delivery.id, order["email"], written.subject, written.text, written.html)
