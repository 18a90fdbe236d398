"""Messages that another daemon orders: taken once by their id, and owed by e-mail."""

from collections.abc import Callable

from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import InvalidRequestError, TransientError
from daemons.contracts.internal import MessageOrder
from daemons.contracts.names import Language
from daemons.notifier.deliveries.delivery import Cause, Owed
from daemons.notifier.messages.texts import MissingValueError, Texts, UnknownTemplateError
from daemons.notifier.preferences.preferences import EMAIL
from daemons.notifier.unit_of_work import NotifierWork
from daemons.shared.clock import Clock, utc_now

LINK = "link"
"""The value that is an address of the bank's, ordered by its path."""


class MessageOrders:
    """Takes orders. They are about somebody's access, so they wait for nobody's quiet hours."""

    def __init__(
        self,
        work: NotifierWork,
        texts: Texts,
        *,
        has_email: bool,
        public_url: str,
        on_owed: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._work = work
        self._texts = texts
        self._has_email = has_email
        self._public_url = public_url.rstrip("/")
        self._on_owed = on_owed
        self._clock = clock

    async def take(self, order: MessageOrder) -> None:
        """Owe the message, once however often it is ordered.

        Raises:
            InvalidRequestError: `unknown_template` or `missing_value`; it could never be written.
            TransientError: e-mail is not configured, or the database does not answer.
        """
        language = language_of(order.recipient.language)
        if (path := order.values.get(LINK)) is not None:
            # Where people reach the bank is known here alone.
            order = order.model_copy(update={"values": {**order.values, LINK: self._public_url + path}})
        self._check(order, language)
        if not self._has_email:
            raise TransientError(
                "unavailable", "No mail is sent here: SMTP_HOST is not set.", retry_after_seconds=30
            )
        try:
            async for attempt in self._work.attempts(recorded=False):
                async with attempt as tx:
                    await tx.deliveries.insert([owed_for(order, language)], at=self._clock())
        except DuplicateKeyError:
            return
        self._on_owed()

    def _check(self, order: MessageOrder, language: Language) -> None:
        """Write it for once: what cannot be written is refused now, when somebody can still mend it."""
        try:
            self._texts.write(order.template, language, {"name": order.recipient.name, **order.values})
        except UnknownTemplateError:
            raise InvalidRequestError(
                "unknown_template", f"There is no message {order.template!r}."
            ) from None
        except MissingValueError as error:
            raise InvalidRequestError(
                "missing_value", f"The message {order.template!r} lacks a value: {error}."
            ) from None


def owed_for(order: MessageOrder, language: Language) -> Owed:
    """Return what an order owes: an e-mail that waits for nothing, with all that its text is made of."""
    recipient = order.recipient
    return Owed(
        Cause.message(order.message_id),
        EMAIL,
        recipient.user_id or recipient.email,
        is_urgent=True,
        order={
            "template": order.template,
            "email": recipient.email,
            "name": recipient.name,
            "user_id": recipient.user_id,
            "language": language.value,
            "values": order.values,
            "expires_at": order.expires_at,
        },
    )


def language_of(tag: str) -> Language:
    """Return the language for a tag (RFC 5646), English for one that there are no texts in."""
    primary = tag.partition("-")[0].lower()
    return Language(primary) if primary in set(Language) else Language.ENGLISH
