"""Publishes owed events in the order of their commits, and owes them no longer once Kafka has confirmed.

The daemon starts and works while Kafka is away: events wait. What is published twice after a fault carries
the same event id. Several processes of user_api may relay at once: each publishes in order and settles only
what is confirmed, so the first copies of a user's events are in order, whichever process publishes them.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Counter
from pydantic_core import to_json
from pymongo.errors import PyMongoError

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.producer import EventProducer, UnconfirmedError
from daemons.shared.kafka.records import OutgoingRecord, event_headers
from daemons.shared.tasks import end_task, is_set_within
from daemons.user_api.outbox.event import OwedEvent
from daemons.user_api.outbox.storage import MongoOwedEvents

SOURCE = "/user_api"
_EVENTS_AT_ONCE = 500
_LOOK_SECONDS = 0.5
"""How long an event may wait to be seen: it may have been committed by another process, such as a shell's."""
_TOPICS_SECONDS = 5.0
"""How long a topic that was deleted may be away unseen."""
_PATIENCE_SECONDS = 2.0
"""After that without every delivery report something is wrong; what is under way is not given up for it."""
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_CLOSE_SECONDS = 5.0

_published = Counter("bankctl_user_events_published", "Events of users confirmed by Kafka")
_log = structlog.get_logger()


class OutboxRelay:
    """Tells of users on Kafka, in one task.

    `prepare` makes the topics that are missing. It is asked again and again, so that topics that were deleted
    come back.
    """

    def __init__(
        self, owed: MongoOwedEvents, producer: EventProducer, prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._owed = owed
        self._producer = producer
        self._prepare = prepare
        self._prepared_at: float | None = None
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None

    def start(self) -> None:
        """Begin to publish."""
        self._task = asyncio.create_task(self._run(), name="outbox-relay")

    async def close(self) -> None:
        """Stop after the batch under way, so that it is not published twice; the outbox has the rest."""
        self._closing.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            await end_task(self._task)
        await self._producer.close()

    async def probe(self) -> str | None:
        """Return None while events go out, else what keeps them; they wait in the outbox meanwhile."""
        return self._failure

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._closing.is_set():
            try:
                await self._prepare_now_and_then()
                published = await self._publish_first()
            except (PyMongoError, TransientError) as error:
                self._report(str(error))
            except Exception:  # noqa: BLE001 - a relay that stopped would hold back every event, unseen
                self._failure = "The relay met an unexpected fault; see the log."
                _log.exception("events of users wait")
            else:
                self._failure, backoff = None, _FIRST_BACKOFF_SECONDS
                if published < _EVENTS_AT_ONCE:
                    await is_set_within(self._closing, _LOOK_SECONDS)
                continue
            await is_set_within(self._closing, backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def _prepare_now_and_then(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._prepared_at is None or now >= self._prepared_at + _TOPICS_SECONDS:
            await self._prepare()
            self._prepared_at = now

    async def _publish_first(self) -> int:
        number, events = await self._owed.first(_EVENTS_AT_ONCE)
        if not number:
            return 0
        try:
            await self._producer.publish(
                [_outgoing(event) for event in events], patience_seconds=_PATIENCE_SECONDS
            )
        except UnconfirmedError as error:
            self._report(error.message)
            await self._await_settled(error)
            if not error.delivery.is_confirmed():
                raise
        await self._owed.settle(number)
        _published.inc(len(events))
        return len(events)

    async def _await_settled(self, error: UnconfirmedError) -> None:
        """Wait for every report, however late, and make topics that have gone meanwhile."""
        while not error.delivery.settled.done() and not self._closing.is_set():
            try:
                await self._prepare()
            except TransientError as fault:
                self._report(fault.message)
            await asyncio.wait([error.delivery.settled], timeout=_LOOK_SECONDS)

    def _report(self, reason: str) -> None:
        if reason != self._failure:
            _log.warning("events of users wait", reason=reason)
        self._failure = reason


def _outgoing(event: OwedEvent) -> OutgoingRecord:
    return OutgoingRecord(
        topic=event.type.value,
        key=event.key,
        value=to_json(event.data),
        headers=event_headers(event_id=event.id, event_type=event.type.value, source=SOURCE, time=event.time),
    )
