"""A consumer that commits an offset only after the record's effect.

The client commits what is stored a little later: should that be lost, the records come again and find their
effect done.

A topic deleted and created again holds other records under the same offsets. The client would go on at
its old offset and pass over what lies before it. So each offset is committed with its topic's id, and where
the topic has another id, also one that it got while nobody consumed it, it is read from its start.

The client runs in a thread of its own, because a cancelled asynchronous poll loses a message; each batch is
handed to the event loop and the thread waits for the effect before it stores the offsets.
"""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.connection import LIBRARY_LOG, METADATA_AGE, QUIET_RECONNECTS, KafkaCluster
from daemons.shared.kafka.consumption import Consumption, Finding, Place
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.tasks import end_task

Effect = Callable[[Sequence[IncomingRecord]], Awaitable[None]]
"""Does what the records ask for, once however often they come. Raises TransientError to have them again."""

BATCH_SIZE = 500
_POLL_SECONDS = 0.2
_GATHER_SECONDS = 0.003
"""Records that were published together come a little apart; having their effect at once costs the least."""
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_LOOK_SECONDS = 2.0
_COMMITTED_SECONDS = 3.0
_log = structlog.get_logger()


class EventConsumer:
    """Consumes topics as one member of a group."""

    def __init__(self, cluster: KafkaCluster, *, group: str, topics: Sequence[str], effect: Effect) -> None:
        self._settings: dict[str, Any] = {
            **cluster.client_settings(),
            "group.id": group,
            "client.id": group,
            # What is stored, which is after the effect, the client commits now and then, before partitions go
            # to another member, and when it closes.
            "enable.auto.commit": True,
            "auto.commit.interval.ms": 1_000,
            "enable.auto.offset.store": False,
            # The default, latest, skips what was published before the group first came.
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.wait.max.ms": 50,
            # How long the partitions of a killed member stand still; the default is 45 s.
            **QUIET_RECONNECTS,
            **METADATA_AGE,
            "session.timeout.ms": 10_000,
        }
        self._topics = list(topics)
        self._consumption = Consumption(cluster, group=group, topics=topics)
        self._finding = Finding()
        self._topic_ids: dict[str, str] = {}
        self._known = threading.Event()
        """Set when it was seen which topics there are."""
        self._consumed_ids: dict[Place, str] = {}
        """The ids under which the partitions were begun; only the consumer's thread knows when that was."""
        self._watching: asyncio.Task[None] | None = None
        self._effect = effect
        self._last_batch = 0
        self._closing = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._failure: str | None = "has not joined its consumer group yet"

    def start(self) -> None:
        """Begin consuming; call from the event loop that is to run the effects."""
        self._loop = asyncio.get_running_loop()
        # Effects run in the context of this thread: what the starting one bound to logs must be known there.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="kafka-consumer", daemon=True
        )
        self._thread.start()
        self._watching = asyncio.create_task(self._watch(), name="kafka-consumption")

    async def probe(self) -> str | None:
        """Return None while the consumer does its work, else what keeps it."""
        return self._failure or self._finding.reason

    @property
    def waiting(self) -> Mapping[str, int] | None:
        """How many records of each topic the group had not taken, a moment ago; None if that is not known."""
        return self._finding.waiting

    async def close(self) -> None:
        """Stop after the batch under way and leave the group."""
        self._closing.set()
        if self._watching is not None:
            await end_task(self._watching)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            # If consumption began before the topic's id is known, a recreated topic would go unnoticed.
            while not self._known.wait(_POLL_SECONDS):
                if self._closing.is_set():
                    return
            # Made where it is closed: one that the garbage collector finds unclosed can block it for good.
            with closing(Consumer(self._settings, logger=LIBRARY_LOG)) as consumer:
                consumer.subscribe(self._topics, on_assign=self._assigned)
                while not self._closing.is_set():
                    self._begin_anew(consumer)
                    self._consume_batch(consumer)
        except Exception:  # noqa: BLE001 - an unexpected fault stops this consumer, visibly: it skips nothing
            self._failure = "stopped after an unexpected fault; see the log"
            _log.exception("consumer stopped")

    async def _watch(self) -> None:
        """Compare again and again what is consumed with what there is."""
        while True:
            try:
                self._note(await asyncio.to_thread(self._consumption.look))
            except Exception:  # noqa: BLE001 - what cannot be compared is said; consuming goes on
                self._finding = Finding(
                    reason="what is consumed could not be compared with the log; see the log"
                )
                _log.exception("consumption not compared")
            await asyncio.sleep(_LOOK_SECONDS)

    def _note(self, finding: Finding) -> None:
        if not finding.looked and self._finding.looked:
            # The second time in a row it counts.
            self._finding = replace(self._finding, looked=False)
            return
        if finding.reason is not None and finding.reason != self._finding.reason:
            _log.warning("records are not consumed", reason=finding.reason)
        self._finding = finding
        if finding.looked:
            self._topic_ids = {**self._topic_ids, **finding.topics}
            self._known.set()

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Go on where the group was in the topics that are still the same, and begin the others."""
        self._failure = None
        ids = self._topic_ids
        if any(it.topic not in ids for it in places):
            ids = {**ids, **self._consumption.look().topics}
        committed = self._committed(consumer, places)
        same = [it for it in committed if it.offset >= 0 and it.metadata == ids.get(it.topic)]
        self._consumed_ids.update({(it.topic, it.partition): ids[it.topic] for it in same})
        consumer.incremental_assign([TopicPartition(it.topic, it.partition, it.offset) for it in same])
        self._begin(consumer, [it for it in committed if it not in same], ids)

    def _committed(self, consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
        while True:
            try:
                return consumer.committed(places, timeout=_COMMITTED_SECONDS)
            except KafkaException as error:
                if self._closing.is_set():
                    raise
                _log.warning("what the group committed is not known yet", reason=str(error.args[0]))
                self._closing.wait(_FIRST_BACKOFF_SECONDS)

    def _begin_anew(self, consumer: Consumer) -> None:
        """Consume recreated topics from their start; repeated events have no effect."""
        ids = self._topic_ids
        old = {place for place, id_ in self._consumed_ids.items() if ids.get(place[0], id_) != id_}
        if not old:
            return
        topics = sorted({topic for topic, _ in old})
        _log.warning("topics were recreated and are read from their start", topics=topics)
        for place in old:
            del self._consumed_ids[place]
        places = [it for it in consumer.assignment() if (it.topic, it.partition) in old]
        consumer.incremental_unassign(places)
        self._begin(consumer, places, ids)

    def _begin(self, consumer: Consumer, places: list[TopicPartition], ids: Mapping[str, str]) -> None:
        if not places:
            return
        consumed = {(it.topic, it.partition): ids.get(it.topic, "") for it in places}
        self._consumed_ids.update(consumed)
        consumer.incremental_assign([TopicPartition(*place, OFFSET_BEGINNING) for place in consumed])
        # Where nothing comes, what was committed of an old topic must not hold for the new one.
        offsets = [TopicPartition(*place, 0, id_) for place, id_ in consumed.items()]
        consumer.commit(offsets=offsets, asynchronous=True)

    def _consume_batch(self, consumer: Consumer) -> None:
        # A lone event is not kept waiting for others.
        gather_seconds = _GATHER_SECONDS if self._last_batch > 1 else 0
        messages = consumer.consume(num_messages=1, timeout=_POLL_SECONDS)
        if messages:
            messages += consumer.consume(num_messages=BATCH_SIZE - 1, timeout=gather_seconds)
        self._last_batch = len(messages)
        records = [record_of(message) for message in messages if not _is_fault(message)]
        if records and self._have_effect(records):
            self._store_offsets(consumer, records)

    def _have_effect(self, records: list[IncomingRecord]) -> bool:
        """Run the effect until it succeeds; False when closing came first."""
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._closing.is_set():
            assert self._loop is not None  # noqa: S101 - start() sets it before the thread runs
            running = asyncio.run_coroutine_threadsafe(_awaited(self._effect(records)), self._loop)
            try:
                running.result()
            except TransientError as error:
                self._failure = error.message
                _log.warning("effect failed, will try again", reason=error.message, seconds=backoff)
                self._closing.wait(backoff)
                backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)
            else:
                self._failure = None
                return True
        return False

    def _store_offsets(self, consumer: Consumer, records: Sequence[IncomingRecord]) -> None:
        ends = {(record.topic, record.partition): record.offset + 1 for record in records}
        offsets = [TopicPartition(*place, end, self._consumed_ids.get(place)) for place, end in ends.items()]
        try:
            consumer.store_offsets(offsets=offsets)
        except KafkaException as error:
            # Another member may have the partitions by now. It gets the records again and finds that their
            # effects are done.
            _log.warning("offsets not stored", reason=str(error.args[0]))


def _is_fault(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.fatal():
        raise KafkaException(error)
    if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name for it
        _log.warning("consumer fault", reason=str(error))
    return True


def record_of(message: Message) -> IncomingRecord:
    """Return the record in a message that is not an error."""
    return IncomingRecord(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        headers=_headers_of(message),
    )


def _headers_of(message: Message) -> dict[str, bytes]:
    pairs: Iterable[tuple[str, str | bytes | None]] = dict(message.headers() or []).items()
    return {name: value for name, value in pairs if isinstance(value, bytes)}


async def _awaited(effect: Awaitable[None]) -> None:
    await effect
