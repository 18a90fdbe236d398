"""What a user got: their own notices, and a message to try the way."""

from collections.abc import Callable, Sequence
from uuid import UUID

from daemons.contracts.errors import NotFoundError, TransientError
from daemons.contracts.internal import MessageOrder, MessageRecipient
from daemons.notifier.deliveries.delivery import Delivery
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.directory import UserDirectory
from daemons.notifier.event import RecordedEvent
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.notifier.messages.composing import UserMessages
from daemons.notifier.messages.orders import owed_for
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.notifier.unit_of_work import NotifierWork
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.pages import decode_number_cursor, encode_number_cursor
from daemons.shared.ids import new_id

OwnNotice = tuple[Delivery, RecordedEvent | None, str]
"""A delivery, the event it is of if it is of one, and its subject."""


class OwnNotices:
    """Lists a user's notices, newest first."""

    def __init__(
        self,
        store: MongoDeliveries,
        reader: MongoEventReader,
        preferences: MongoPreferences,
        messages: UserMessages,
    ) -> None:
        self._store = store
        self._reader = reader
        self._preferences = preferences
        self._messages = messages

    async def page(
        self, user_id: UUID, *, name: str, limit: int, cursor: str | None
    ) -> tuple[list[OwnNotice], str | None]:
        """Return the user's notices, and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
            TransientError: the database does not answer.
        """
        before = decode_number_cursor(cursor)
        found = await self._store.page(
            state=None, channel=None, recipient=str(user_id), before=before, limit=limit + 1
        )
        page = found[:limit]
        following = encode_number_cursor(page[-1].turn) if len(found) > limit else None
        return await self._with_events(str(user_id), name, page), following

    async def _with_events(self, user_id: str, name: str, page: Sequence[Delivery]) -> list[OwnNotice]:
        ids = [UUID(one.owed.cause.id) for one in page if one.owed.cause.kind == "event"]
        events = await self._reader.find_all(ids) if ids else {}
        preferences = await self._preferences.of(user_id)
        notices: list[OwnNotice] = []
        for delivery in page:
            event = events.get(UUID(delivery.owed.cause.id)) if delivery.owed.cause.kind == "event" else None
            written = event and self._messages.text_for(event, user_id, preferences, name=name)
            notices.append((delivery, event, written.subject if written else "A message about your access"))
        return notices


class TestMessages:
    """Owes a user a message by which they see how messages reach them."""

    def __init__(
        self,
        work: NotifierWork,
        directory: UserDirectory,
        preferences: MongoPreferences,
        *,
        has_email: bool,
        on_owed: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._work = work
        self._directory = directory
        self._preferences = preferences
        self._has_email = has_email
        self._on_owed = on_owed
        self._clock = clock

    async def owe(self, user_id: UUID) -> Delivery:
        """Owe it by e-mail, at once whatever the hour.

        Raises:
            NotFoundError: the user does not exist any more.
            TransientError: e-mail is not configured, or user_api or the database does not answer.
        """
        if not self._has_email:
            raise TransientError("unavailable", "No mail is sent here: SMTP_HOST is not set.")
        person = await self._directory.find(user_id)
        if person is None:
            raise NotFoundError("user_not_found", "There is no such user.")
        language = (await self._preferences.of(str(user_id))).language
        recipient = MessageRecipient(
            email=person.email, name=person.name, user_id=str(user_id), language=language.value
        )
        order = MessageOrder(
            message_id=f"test:{new_id()}", template="test", recipient=recipient, values={}, expires_at=None
        )
        async for attempt in self._work.attempts(recorded=False):
            async with attempt as tx:
                [delivery] = await tx.deliveries.insert([owed_for(order, language)], at=self._clock())
        self._on_owed()
        return delivery
