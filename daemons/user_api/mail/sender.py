"""Hands owed messages to the notifier until it has taken each; a kill at any moment loses none."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus

import httpx
import structlog

from daemons.contracts.errors import BankError
from daemons.contracts.internal import MessageOrder, MessageRecipient
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.shared.clock import Clock
from daemons.shared.tasks import end_task
from daemons.user_api.mail.codes import LINKED, MailedCodes
from daemons.user_api.mail.message import LANGUAGE, OwedMessage
from daemons.user_api.mail.storage import MongoOwedMessages, Taken

NOTIFIER = "notifier"
PATH = "/internal/messages"
_LEASE = timedelta(seconds=30)
"""After so long another process tries a message whose sender was killed; longer than a call may take."""
_LOOK_SECONDS = 0.5
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 300.0
_LATE = timedelta(seconds=30)
_log = structlog.get_logger()


class MessageSender:
    """Sends one message after the other; one that fails is put off and keeps no other waiting."""

    def __init__(
        self,
        store: MongoOwedMessages,
        codes: MailedCodes,
        notifier: httpx.AsyncClient | None,
        service_tokens: ServiceTokenSigner,
        *,
        clock: Clock,
    ) -> None:
        """Make one; without a notifier messages stay owed until they are out of date."""
        self._store = store
        self._codes = codes
        self._notifier = notifier
        self._service_tokens = service_tokens
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send; without a notifier there is nothing to do."""
        if self._notifier is None:
            return
        self._task = asyncio.create_task(self._run(), name="message-sender")

    async def close(self) -> None:
        """Stop; a message under way stays owed and is repeated under its id."""
        if self._task is not None:
            await end_task(self._task)

    async def probe(self) -> str | None:
        """Return since when messages wait, if that is longer than it should be."""
        oldest = await self._store.oldest()
        if oldest is None or self._clock() - oldest < _LATE:
            return None
        why = "the notifier does not take them" if self._notifier else "NOTIFIER_URL is not set"
        return f"messages to people wait since {oldest:%Y-%m-%d %H:%M:%S} UTC: {why}"

    async def _run(self) -> None:
        while True:
            try:
                sent = await self.send_next()
            except BankError as error:
                _log.warning("owed messages cannot be read", code=error.code)
                sent = False
            except Exception:  # noqa: BLE001 - logged with its trace
                # Whatever it is, the next message must not wait for a restart.
                _log.exception("owed messages are not sent")
                sent = False
            if not sent:
                await asyncio.sleep(_LOOK_SECONDS)

    async def send_next(self) -> bool:
        """Try to send the message that is due first; tells whether there was one.

        Raises:
            TransientError: `unavailable`, the database does not answer.
        """
        taken = await self._store.take(self._clock(), lease=_LEASE)
        if taken is None:
            return False
        message = taken.message
        if message.decoy or message.expires_at <= self._clock():
            if not message.decoy:
                _log.error(
                    "message given up: it is out of date", message_id=str(message.id), tries=taken.tries
                )
            await self._store.remove(taken)
            return True
        fault = await self._order(message)
        if fault is None:
            await self._store.remove(taken)
            _log.info("message ordered", message_id=str(message.id), template=message.template.value)
        else:
            until = self._clock() + _pause_after(taken)
            _log.warning("message put off", message_id=str(message.id), tries=taken.tries, why=fault)
            await self._store.put_off(taken, until)
        return True

    async def _order(self, message: OwedMessage) -> str | None:
        """Return None if the notifier has taken the message, else why not."""
        assert self._notifier is not None  # noqa: S101 - nothing is sent without
        headers = {"Content-Type": "application/json", **self._service_tokens.header_for(NOTIFIER)}
        with suppress(httpx.HTTPError):
            answer = await self._notifier.post(PATH, content=self._body(message), headers=headers)
            return None if answer.status_code == HTTPStatus.ACCEPTED else f"HTTP {answer.status_code}"
        return "no answer"

    def _body(self, message: OwedMessage) -> str:
        values = dict(message.values)
        if message.code is not None:
            answered = message.code.purpose, message.code.request_id
            values["code"] = self._codes.code(*answered)
            if message.code.purpose in LINKED:
                values["link"] = self._codes.link(*answered)
        return MessageOrder(
            message_id=str(message.id),
            template=message.template.value,
            recipient=MessageRecipient(
                email=message.email,
                name=message.name,
                user_id=None if message.user_id is None else str(message.user_id),
                language=LANGUAGE,
            ),
            values=values,
            expires_at=message.expires_at,
        ).model_dump_json()


def _pause_after(taken: Taken) -> timedelta:
    longest = min(_FIRST_PAUSE_SECONDS * 2 ** min(taken.tries - 1, 12), _LONGEST_PAUSE_SECONDS)
    # Messages that failed together must not come back at the same moment.
    return timedelta(seconds=random.uniform(longest / 2, longest))  # noqa: S311 - nothing secret
