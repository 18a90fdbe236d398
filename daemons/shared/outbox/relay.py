"""The relay: publishes what the outbox holds and removes it once Kafka has confirmed every event."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from pymongo.errors import PyMongoError

from daemons.contracts.errors import TransientError
from daemons.shared.clock import utc_now
from daemons.shared.ids import lowest_id_at, new_id
from daemons.shared.kafka.producer import Delivery, EventProducer, UnconfirmedError
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.mongo import Server
from daemons.shared.outbox.store import OutboxEntry, OutboxStore
from daemons.shared.tasks import end_task

Encoder = Callable[[Sequence[OutboxEntry]], Awaitable[list[OutgoingRecord]]]
"""Turns entries into their events' records, in the same order; may look up what readers need to know.

Raises TransientError when it cannot now.
"""

EVENTS_AT_ONCE = 2000
LEASE_SECONDS = 5.0
CLOSE_SECONDS = 5.0
RECENT = timedelta(minutes=1)
"""Longer than any commit takes, so that nothing is written behind the relay's back but by a wrong clock."""
SWEEP_SECONDS = 20.0
_LOOK_SECONDS = 0.5
_GATHER_SECONDS = 0.015
"""While events come one upon another, some more are let come: looking costs the same for few and many."""
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0

_PATIENCE_SECONDS = 2.0
"""After that without every delivery report something is wrong; what is under way is not given up for it."""
_MOST_EVENTS_PASSED_OVER = EVENTS_AT_ONCE
_TOPICS_SECONDS = 5.0
"""How long a topic that was deleted may be away unseen."""
_COMPARE_SECONDS = 60.0
_COMPARE_AGAIN_SECONDS = 2.0
"""Where the last comparison was not the last word."""

_published = Counter("bankctl_relay_published_events", "Events confirmed by Kafka")
_lease_gauge = Gauge("bankctl_relay_holds_lease", "1 in the process that publishes")
_unconfirmed = Gauge("bankctl_relay_unconfirmed_events", "Events that Kafka has not taken", ["topic"])
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether the events published before come from this database."""

    may_publish: bool = True
    notice: str | None = None
    is_complete: bool = True
    """Whether everything could be looked at."""


Comparison = Callable[[Callable[[], Awaitable[object]]], Awaitable[Agreement]]
"""Compares what was published with the database; awaits what it is given between reading one and the other.

Raises TransientError when it cannot now.
"""


async def _agree(_confirm: object) -> Agreement:
    return Agreement()


class Relay:
    """Publishes one outbox. Several may run; the lease lets one at a time publish.

    `prepare` makes the topics that are missing. It is asked for again and again, so that a daemon starts and
    works without Kafka, and topics that were deleted come back. `compare` is asked before anything is
    published under a lease or from a database server that was not there before, and now and then.
    """

    def __init__(
        self,
        outbox: OutboxStore,
        producer: EventProducer,
        encode: Encoder,
        *,
        prepare: Callable[[], Awaitable[None]],
        compare: Comparison = _agree,
    ) -> None:
        self._outbox = outbox
        self._producer = producer
        self._encode = encode
        self._prepare = prepare
        self._prepared = asyncio.Event()
        self._compare = compare
        self._comparison_is_needed = asyncio.Event()
        self._compared_with: Server | None = None
        self._agreement = Agreement()
        self._topics_are_needed = asyncio.Event()
        self._holder = new_id()
        self._lease_renewal = 0.0
        self._next_sweep = 0.0
        self._reached = UUID(int=0)
        self._removing: set[UUID] = set()
        self._removal: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._try_again = asyncio.Event()
        self._failure: str | None = None
        self._topics_failure: str | None = None
        self._unfinished = _Unfinished()
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._comparing: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Tell the relay that something was committed."""
        self._wake.set()

    def start(self) -> None:
        """Begin publishing in tasks that this relay holds."""
        self._running = asyncio.create_task(self._run(), name="relay")
        self._preparing = asyncio.create_task(self._keep_topics(), name="relay-topics")
        self._comparing = asyncio.create_task(self._keep_comparing(), name="relay-comparison")

    async def close(self) -> None:
        """Stop after the batch under way, so that none is published twice; the rest waits in the outbox."""
        self._closing.set()
        self._wake.set()
        self._try_again.set()
        for task in (self._preparing, self._comparing):
            if task is not None:
                await end_task(task)
        if self._running is not None:
            # A relay that Kafka has not answered yet has no batch under way.
            if self._prepared.is_set():
                await asyncio.wait([self._running], timeout=CLOSE_SECONDS)
            await end_task(self._running)
        try:
            await self._end_removal()
            await self._outbox.release_lease(self._holder)
        except PyMongoError:
            _log.info("lease not released, it will run out")

    async def _keep_topics(self) -> None:
        """Make topics, and those that were deleted again; at once where events do not go out."""
        while True:
            self._topics_are_needed.clear()
            try:
                await self._prepare()
            except TransientError as error:
                if self._topics_failure != error.message:
                    _log.warning("topics are not there", reason=error.message)
                self._topics_failure = error.message
                await asyncio.sleep(_LOOK_SECONDS)
            except Exception:  # noqa: BLE001 - the next attempt may succeed, and events go out all the same
                self._topics_failure = "met an unexpected fault with the topics; see the log"
                _log.exception("topics are not there")
                await _pause(self._closing, _TOPICS_SECONDS)
            else:
                self._topics_failure = None
                # Only topics that the account has a right to are seen.
                self._producer.connect()
                self._prepared.set()
                await _pause(self._topics_are_needed, _TOPICS_SECONDS)

    async def compare_now(self) -> None:
        """Compare what was published with the database, and publish on if they agree."""
        server = self._outbox.server()
        agreement = await self._compare(self._renew_lease)
        if agreement.notice != self._agreement.notice:
            if agreement.notice:
                _log.error("what was published is not what the database holds", reason=agreement.notice)
            else:
                _log.info("what was published is what the database holds")
        self._agreement = agreement
        self._compared_with = server
        self._wake.set()

    async def _keep_comparing(self) -> None:
        """Compare when the relay needs it before it publishes, and now and then under the lease."""
        while True:
            await _pause(self._comparison_is_needed, _COMPARE_SECONDS)
            self._comparison_is_needed.clear()
            if time.monotonic() >= self._lease_renewal:
                # Another publishes, and compares; or the relay asks again once it has the lease.
                continue
            try:
                await self.compare_now()
            except (PyMongoError, TransientError) as error:
                _log.warning("what was published is not compared yet", reason=str(error))
                await _pause(self._closing, _COMPARE_AGAIN_SECONDS)
            except Exception:  # noqa: BLE001 - the next attempt may succeed
                _log.exception("what was published is not compared yet")
                await _pause(self._closing, _COMPARE_AGAIN_SECONDS)
            else:
                if not self._agreement.may_publish or not self._agreement.is_complete:
                    await _pause(self._closing, _COMPARE_AGAIN_SECONDS)
                    self._comparison_is_needed.set()

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._closing.is_set():
            if not self._prepared.is_set():
                await _pause(self._prepared, _LOOK_SECONDS)
                continue
            self._wake.clear()
            self._try_again.clear()
            try:
                found = await self._publish_once()
            except (PyMongoError, TransientError) as error:
                self._failure = str(error)
                _log.warning("relay will try again", reason=str(error), seconds=backoff)
            except Exception:  # noqa: BLE001 - a relay that stopped would hold back every event, unseen
                self._failure = "met an unexpected fault; see the log"
                _log.exception("relay will try again", seconds=backoff)
            else:
                self._failure = self._unfinished.failure
                backoff = _FIRST_BACKOFF_SECONDS
                if self._unfinished:
                    # What is not due yet is read again in each round, and there may be much of it.
                    await _pause(self._try_again, self._unfinished.pause_seconds)
                elif found == 0:
                    await _pause(self._wake, _LOOK_SECONDS)
                elif 1 < found < EVENTS_AT_ONCE:
                    await _pause(self._closing, _GATHER_SECONDS)
                continue
            await _pause(self._closing, backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def probe(self) -> str | None:
        """Return None while events go out, else what keeps them; the outbox holds them meanwhile."""
        told = [self._topics_failure, self._failure, self._agreement.notice]
        return " ".join(dict.fromkeys(reason for reason in told if reason)) or None

    async def _publish_once(self) -> int:
        """Publish the oldest entries; returns how many events were found, 0 if there was nothing to do."""
        if not await self._holds_lease():
            self._unfinished.confirmed.clear()
            self._compared_with = None
            return 0
        self._unfinished.collect()
        found = await self._next_entries()
        # Asked after reading: another server may have been found just by it.
        if self._compared_with is None or self._compared_with != self._outbox.server():
            self._comparison_is_needed.set()
            return 0
        if not self._agreement.may_publish:
            return 0
        entries = [entry for entry in found if entry.id not in self._removing]
        if not entries:
            if not found:
                self._unfinished.confirmed.clear()
            await self._end_removal()
            return 0
        records = await self._encode(entries)
        return await self._publish(entries, records, events=sum(entry.events for entry in found))

    async def _publish(
        self, entries: Sequence[OutboxEntry], records: Sequence[OutgoingRecord], *, events: int
    ) -> int:
        due = self._unfinished.due(records)
        try:
            await self._producer.publish(due, patience_seconds=_PATIENCE_SECONDS)
        except UnconfirmedError as error:
            _log.warning("not all events were confirmed", reason=error.message)
            self._unfinished.add(due, error.delivery)
            error.delivery.settled.add_done_callback(lambda _settled: self._try_again.set())
            self._topics_are_needed.set()
        else:
            _published.inc(len(due))
            if self._unfinished:
                self._unfinished.confirm(due)
        await self._end_removal()
        if self._unfinished:
            entries = self._unfinished.finished(entries, records)
        else:
            self._reached = entries[-1].id
        self._begin_removal(entries)
        if events >= EVENTS_AT_ONCE or self._unfinished:
            # There are more, and before these are removed the same would be found again.
            await self._end_removal()
        return events

    def _begin_removal(self, entries: Sequence[OutboxEntry]) -> None:
        """Remove what Kafka has confirmed while the next entries are read: nobody waits for it."""
        self._removing = {entry.id for entry in entries}
        self._removal = asyncio.create_task(self._outbox.remove(entries), name="outbox-removal")

    async def _end_removal(self) -> None:
        """Wait for the removal under way; what could not be removed is published again, under its old id."""
        if self._removal is not None:
            removal, self._removal = self._removal, None
            try:
                await removal
            finally:
                self._removing = set()

    async def _next_entries(self) -> list[OutboxEntry]:
        """Look on from what was published last, and now and then at everything: strays come late."""
        now = time.monotonic()
        since = min(self._reached, lowest_id_at(utc_now() - RECENT))
        # What waits for one topic does not stand before what is for the others.
        events = EVENTS_AT_ONCE + min(self._unfinished.events, _MOST_EVENTS_PASSED_OVER)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            return await self._outbox.oldest(events=events, since=None)
        return await self._outbox.oldest(events=events, since=since)

    async def _holds_lease(self) -> bool:
        """Tell whether this relay may publish; asks the database only when half the lease has run."""
        now = time.monotonic()
        if now < self._lease_renewal:
            return True
        return await self._renew_lease()

    async def _renew_lease(self) -> bool:
        now = time.monotonic()
        holds = await self._outbox.hold_lease(self._holder, seconds=LEASE_SECONDS)
        # Counted from before the question, so this relay never believes longer than the database.
        self._lease_renewal = now + LEASE_SECONDS / 2 if holds else 0.0
        _lease_gauge.set(holds)
        return holds


class _Unfinished:
    """Batches of which some topic was not confirmed; the records of other topics are not published again.

    It is kept in memory only. Another process tells all of it again, under the same ids.
    """

    def __init__(self) -> None:
        self.confirmed: set[str] = set()
        """Ids of events that Kafka has, while others of the same commit are still owed."""
        self.events = 0
        """How many events the commits that are not done owed when they were looked at last."""
        self.pause_seconds = _LOOK_SECONDS
        """How long to wait until looking again: ever longer while nothing can be published."""
        self._under_way: dict[str, tuple[Delivery, list[str]]] = {}
        self._refused: dict[str, _Refusal] = {}

    def __bool__(self) -> bool:
        return bool(self.confirmed or self._under_way or self._refused)

    @property
    def failure(self) -> str | None:
        """What waits, and why."""
        told = [f"{topic} ({it.events} wait): {it.reason}" for topic, it in sorted(self._refused.items())]
        told += [
            f"{topic} ({len(ids)} wait): not confirmed yet"
            for topic, (_, ids) in sorted(self._under_way.items())
        ]
        return f"Kafka did not take events: {'; '.join(told)}." if told else None

    def due(self, records: Sequence[OutgoingRecord]) -> Sequence[OutgoingRecord]:
        """Return what is to be published now."""
        if not self:
            return records
        now = time.monotonic()
        held = {*self._under_way, *(topic for topic, it in self._refused.items() if it.until > now)}
        due = [it for it in records if it.topic not in held and it.event_id not in self.confirmed]
        longer = min(self.pause_seconds * 2, _LONGEST_BACKOFF_SECONDS)
        self.pause_seconds = _LOOK_SECONDS if due else longer
        return due

    def add(self, published: Sequence[OutgoingRecord], delivery: Delivery) -> None:
        """Take note of a batch that was not confirmed as a whole."""
        ids: dict[str, list[str]] = {}
        for record in published:
            ids.setdefault(record.topic, []).append(record.event_id)
        for topic, told in ids.items():
            self._settle(topic, told, delivery)

    def collect(self) -> None:
        """Take note of what has been confirmed, or failed, since."""
        for topic, (delivery, ids) in [*self._under_way.items()]:
            del self._under_way[topic]
            self._settle(topic, ids, delivery)

    def confirm(self, published: Sequence[OutgoingRecord]) -> None:
        """Take note of a batch that was confirmed as a whole."""
        self.confirmed.update(record.event_id for record in published)
        for topic in {record.topic for record in published}:
            self._refused.pop(topic, None)
            _unconfirmed.labels(topic).set(0)

    def finished(
        self, entries: Sequence[OutboxEntry], records: Sequence[OutgoingRecord]
    ) -> list[OutboxEntry]:
        """Return the entries of which Kafka has every event."""
        done, ids = [], iter(record.event_id for record in records)
        for entry in entries:
            told = {*islice(ids, entry.events)}
            if told <= self.confirmed:
                done.append(entry)
                self.confirmed -= told
        self.events = sum(entry.events for entry in entries) - sum(entry.events for entry in done)
        return done

    def _settle(self, topic: str, ids: list[str], delivery: Delivery) -> None:
        if delivery.under_way(topic):
            self._under_way[topic] = delivery, ids
        elif topic in delivery.failures:
            before = self._refused.get(topic)
            backoff = min(before.backoff * 2, _LONGEST_BACKOFF_SECONDS) if before else _FIRST_BACKOFF_SECONDS
            reason = delivery.failures[topic].name()
            self._refused[topic] = _Refusal(reason, len(ids), backoff, time.monotonic() + backoff)
        else:
            self._refused.pop(topic, None)
            self.confirmed.update(ids)
            _published.inc(len(ids))
        waits = topic in self._under_way or topic in self._refused
        _unconfirmed.labels(topic).set(len(ids) if waits else 0)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A topic that is not tried again before `until`, in monotonic seconds."""

    reason: str
    events: int
    backoff: float
    until: float


async def _pause(until: asyncio.Event, seconds: float) -> None:
    """Sleep until the event or for so long: a commit ends idleness, only closing ends a back-off."""
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
