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


class MessageOrders:
    """Takes orders. They are about somebody's access, so they wait for nobody's quiet hours."""

    def __init__(
        self,
        work: NotifierWork,
        texts: Texts,
        *,
        has_email: bool,
        on_owed: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._work = work
        self._texts = texts
        self._has_email = has_email
        self._on_owed = on_owed
        self._clock = clock

    async def take(self, order: MessageOrder) -> None:
        """Owe the message, once however often it is ordered.

        Raises:
            InvalidRequestError: `unknown_template` or `missing_value`; it could never be written.
            TransientError: e-mail is not configured, or the database does not answer.
        """
        language = language_of(order.recipient.language)
        self._check(order, language)
        if not self._has_email:
            raise TransientError(
                "unavailable", "No mail is sent here: SMTP_HOST is not set.", retry_after_seconds=30
            )
        owed = Owed(
            Cause.message(order.message_id),
            EMAIL,
            order.recipient.user_id or order.recipient.email,
            is_urgent=True,
            order={
                "template": order.template,
                "email": order.recipient.email,
                "name": order.recipient.name,
                "user_id": order.recipient.user_id,
                "language": language.value,
                "values": order.values,
                "expires_at": order.expires_at,
            },
        )
        try:
            async for attempt in self._work.attempts(recorded=False):
                async with attempt as tx:
                    await tx.deliveries.insert([owed], at=self._clock())
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


def language_of(tag: str) -> Language:
    """Return the language for a tag (RFC 5646), English for one that there are no texts in."""
    primary = tag.partition("-")[0].lower()
    return Language(primary) if primary in set(Language) else Language.ENGLISH
