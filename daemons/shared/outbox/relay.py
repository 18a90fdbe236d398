"""The relay: publishes what the outbox holds and removes it once Kafka has confirmed every event."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from pymongo.errors import PyMongoError

from daemons.contracts.errors import TransientError
from daemons.shared.clock import utc_now
from daemons.shared.ids import lowest_id_at, new_id
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
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

_published = Counter("bankctl_relay_published_events", "Events confirmed by Kafka")
_lease_gauge = Gauge("bankctl_relay_holds_lease", "1 in the process that publishes")
_log = structlog.get_logger()


class Relay:
    """Publishes one outbox. Several may run; the lease lets one at a time publish.

    `prepare` makes the topics; it is part of the loop, so that a daemon starts and works without Kafka.
    """

    def __init__(
        self,
        outbox: OutboxStore,
        producer: EventProducer,
        encode: Encoder,
        *,
        prepare: Callable[[], Awaitable[None]],
    ) -> None:
        self._outbox = outbox
        self._producer = producer
        self._encode = encode
        self._prepare = prepare
        self._prepared = False
        self._holder = new_id()
        self._lease_renewal = 0.0
        self._next_sweep = 0.0
        self._reached = UUID(int=0)
        self._removing: set[UUID] = set()
        self._removal: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._failure: str | None = None
        self._publishing = False
        self._closing = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Tell the relay that something was committed."""
        self._wake.set()

    def start(self) -> None:
        """Begin publishing in a task that this relay holds."""
        self._running = asyncio.create_task(self._run(), name="relay")

    async def close(self) -> None:
        """Stop after the batch under way, so that none is published twice; the rest waits in the outbox."""
        self._closing.set()
        self._wake.set()
        if self._running is not None:
            if self._publishing:
                await asyncio.wait([self._running], timeout=CLOSE_SECONDS)
            await end_task(self._running)
        try:
            await self._end_removal()
            await self._outbox.release_lease(self._holder)
        except PyMongoError:
            _log.info("lease not released, it will run out")

    async def _run(self) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._closing.is_set():
            self._wake.clear()
            try:
                found = await self._publish_once()
            except (PyMongoError, TransientError) as error:
                self._failure = str(error)
                _log.warning("relay will try again", reason=str(error), seconds=backoff)
            except Exception:  # noqa: BLE001 - a relay that stopped would hold back every event, unseen
                self._failure = "met an unexpected fault; see the log"
                _log.exception("relay will try again", seconds=backoff)
            else:
                self._failure = None
                backoff = _FIRST_BACKOFF_SECONDS
                if found == 0:
                    await _pause(self._wake, _LOOK_SECONDS)
                elif 1 < found < EVENTS_AT_ONCE:
                    await _pause(self._closing, _GATHER_SECONDS)
                continue
            await _pause(self._closing, backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def probe(self) -> str | None:
        """Return None while events go out, else what keeps them; the outbox holds them meanwhile."""
        return self._failure

    async def _publish_once(self) -> int:
        """Publish the oldest entries; returns how many events were found, 0 if there was nothing to do."""
        if not self._prepared:
            await self._prepare()
            self._prepared = True
        if not await self._holds_lease():
            return 0
        found = await self._next_entries()
        entries = [entry for entry in found if entry.id not in self._removing]
        if not entries:
            await self._end_removal()
            return 0
        records = await self._encode(entries)
        self._publishing = True
        try:
            return await self._publish(entries, records, events=sum(entry.events for entry in found))
        finally:
            self._publishing = False

    async def _publish(
        self, entries: Sequence[OutboxEntry], records: Sequence[OutgoingRecord], *, events: int
    ) -> int:
        await self._producer.publish(records)
        await self._end_removal()
        self._reached = entries[-1].id
        self._begin_removal(entries)
        _published.inc(len(records))
        if events >= EVENTS_AT_ONCE:
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
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            return await self._outbox.oldest(events=EVENTS_AT_ONCE, since=None)
        return await self._outbox.oldest(events=EVENTS_AT_ONCE, since=since)

    async def _holds_lease(self) -> bool:
        """Tell whether this relay may publish; asks the database only when half the lease has run."""
        now = time.monotonic()
        if now < self._lease_renewal:
            return True
        holds = await self._outbox.hold_lease(self._holder, seconds=LEASE_SECONDS)
        # Counted from before the question, so this relay never believes longer than the database.
        self._lease_renewal = now + LEASE_SECONDS / 2 if holds else 0.0
        _lease_gauge.set(holds)
        return holds


async def _pause(until: asyncio.Event, seconds: float) -> None:
    """Sleep until the event or for so long: a commit ends idleness, only closing ends a back-off."""
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
