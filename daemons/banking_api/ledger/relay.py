"""Publishes what is committed, in the order of the seals: the journal is the outbox.

Each topic has a position of its own, the number of the last seal of which all its events are confirmed, so
that a topic that takes nothing keeps none of the others. A position moves only once Kafka has confirmed. What
is published twice after a fault carries the same event id, and nothing is lost. Only the ledger's process
relays.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge
from pymongo.errors import PyMongoError

from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import Seal
from daemons.contracts.errors import TransientError
from daemons.shared.kafka.producer import EventProducer, UnconfirmedError
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.mongo import Database, Document, Server, Session, serving
from daemons.shared.tasks import end_task, is_set_within

TopicOf = Callable[[Record], str]
Encode = Callable[[Sequence[Record]], Awaitable[list[OutgoingRecord]]]
"""Turns records into their events, in the same order; raises TransientError when it cannot now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Whether what was published before is what this database has told."""

    may_publish: bool = True
    notice: str | None = None
    is_complete: bool = True
    """Whether everything could be looked at."""


_NOT_COMPARED = Agreement(may_publish=False, is_complete=False)
Comparison = Callable[[Callable[[], Awaitable[object]]], Awaitable[Agreement]]
"""Compares what was published with the database; awaits what it is given between reading one and the other.

Raises TransientError when it cannot now.
"""

Sealed = tuple[Seal, list[UUID]]
"""A seal and the ids of its records."""
EVENTS_AT_ONCE = 2_000
AT_HAND = 10_000
"""Records kept in memory after their commit, about 10 MB; what is further behind is read from the journal."""
CLOSE_SECONDS = 5.0
_SEALS_AT_ONCE = 100
_PATIENCE_SECONDS = 2.0
"""After that without every delivery report something is wrong; what is under way is not given up for it."""
_GATHER_SECONDS = 0.015
"""While events come one upon another, some more are let come: publishing costs the same for few and many."""
_KEEP_SECONDS = 0.05
_FIRST_BACKOFF_SECONDS = 0.1
_LONGEST_BACKOFF_SECONDS = 5.0
_TOPICS_SECONDS = 5.0
"""How long a topic that was deleted may be away unseen."""
_LOOK_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 2.0
"""After which an idle relay looks for seals of which this process was not told."""
_COMPARE_SECONDS = 60.0
_COMPARE_AGAIN_SECONDS = 2.0
"""Where the last comparison was not the last word."""
_POSITIONS = "relay"

_published = Counter("bankctl_ledger_published_events", "Events confirmed by Kafka")
_unconfirmed = Gauge("bankctl_relay_unconfirmed_events", "Events that Kafka has not taken", ["topic"])
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CommittedGroup:
    """A sealed group's records by topic."""

    number: int
    by_topic: Mapping[str, Sequence[Record]]
    count: int


@dataclass(slots=True)
class _Topic:
    """How far one topic has come, and what keeps it."""

    name: str
    position: int = 0
    failure: str | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """The newest committed groups, in memory while there is room, and all others in the journal."""

    def __init__(self, journal: Journal, topic_of: TopicOf) -> None:
        self._journal = journal
        self._topic_of = topic_of
        self._at_hand: deque[CommittedGroup] = deque()
        self._count = 0

    def add(self, seal: Seal, records: Sequence[Record]) -> None:
        """Keep a group that was just committed, at the cost of the oldest ones.

        If another process committed those between, the journal is read, for it alone has them.
        """
        if self._at_hand and self._at_hand[-1].number + 1 != seal.number:
            self.forget()
        group = self._group(seal.number, records)
        self._at_hand.append(group)
        self._count += group.count
        while self._count > AT_HAND and len(self._at_hand) > 1:
            self._count -= self._at_hand.popleft().count

    def forget(self) -> None:
        """Forget what was at hand, because there may be more in the journal."""
        self._at_hand.clear()
        self._count = 0

    async def after(self, number: int) -> list[CommittedGroup]:
        """Return the next groups behind a seal, some at a time; none if it is the last."""
        at_hand = self._at_hand
        if at_hand and at_hand[0].number <= number + 1:
            skip = number + 1 - at_hand[0].number
            return list(at_hand)[skip : skip + _SEALS_AT_ONCE] if skip < len(at_hand) else []
        sealed = _some(await self._journal.seals_after(number, limit=_SEALS_AT_ONCE))
        ids = [id_ for _, of_group in sealed for id_ in of_group]
        records = await self._journal.by_id(ids) if ids else {}
        return [self._group(seal.number, [records[id_] for id_ in of_group]) for seal, of_group in sealed]

    def _group(self, number: int, records: Sequence[Record]) -> CommittedGroup:
        by_topic: dict[str, list[Record]] = {}
        for record in records:
            by_topic.setdefault(self._topic_of(record), []).append(record)
        return CommittedGroup(number, by_topic, len(records))


class Relay:
    """Publishes one journal to its topics, each on its own.

    `prepare` makes the topics that are missing. It is asked for again and again, so that a daemon starts and
    works without Kafka, and topics that were deleted come back. `compare` is asked before anything is
    published from a database server that was not there before, and now and then.
    """

    def __init__(
        self,
        database: Database,
        feed: Feed,
        producer: EventProducer,
        encode: Encode,
        *,
        topics: Sequence[str],
        prepare: Callable[[], Awaitable[None]],
        compare: Comparison,
    ) -> None:
        self._database = database
        self._positions = database["positions"]
        self._prepare = prepare
        self._prepared = asyncio.Event()
        self._topics_are_needed = asyncio.Event()
        self._topics_failure: str | None = None
        self._compare = compare
        self._compared_with: Server | None = None
        self._agreement = _NOT_COMPARED
        self._comparison_is_needed = asyncio.Event()
        self._comparison_failure: str | None = None
        self._feed = feed
        self._producer = producer
        self._encode = encode
        self._topics = {name: _Topic(name) for name in topics}
        self._closing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._upkeep: list[asyncio.Task[None]] = []
        self._kept: dict[str, int] = {}

    def wake(self) -> None:
        """Tell the relay that something was committed."""
        for topic in self._topics.values():
            topic.wake.set()

    async def start(self) -> None:
        """Read how far each topic has come, and go on from there.

        Raises:
            PyMongoError: that cannot be read.
        """
        self._closing.clear()
        self._prepared.clear()
        self._feed.forget()
        self._compared_with = None
        self._agreement = _NOT_COMPARED
        kept = await self._positions.find_one({"_id": _POSITIONS}) or {}
        for topic in self._topics.values():
            topic.position = int(kept.get("seals", {}).get(topic.name, 0))
        self._kept = {topic.name: topic.position for topic in self._topics.values()}
        self._tasks = [
            asyncio.create_task(self._run(topic), name=f"relay-{topic.name}")
            for topic in self._topics.values()
        ]
        self._upkeep = [
            asyncio.create_task(self._keep_positions(), name="relay-positions"),
            asyncio.create_task(self._keep_topics(), name="relay-topics"),
            asyncio.create_task(self._keep_comparing(), name="relay-comparison"),
        ]

    async def close(self) -> None:
        """Stop after the batches under way, so that none is published twice; the journal has the rest."""
        self._closing.set()
        self._prepared.set()
        self.wake()
        for task in self._upkeep:
            await end_task(task)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in self._tasks:
                await end_task(task)
        self._tasks, self._upkeep = [], []
        # What kept this process from publishing is no longer its concern.
        self._topics_failure = self._comparison_failure = None
        for topic in self._topics.values():
            topic.failure = None
        self._agreement = _NOT_COMPARED
        try:
            await self._keep()
        except PyMongoError as error:
            _log.info("positions not kept, some events go out twice", reason=type(error).__name__)

    def probe(self) -> str | None:
        """Return None while events go out, else what keeps them; the journal has them meanwhile."""
        reasons = [
            self._topics_failure,
            self._comparison_failure,
            *(it.failure for it in self._topics.values()),
            self._agreement.notice,
        ]
        return " ".join(dict.fromkeys(reason for reason in reasons if reason)) or None

    def positions(self) -> dict[str, int]:
        """Return up to which seal each topic's events are published."""
        return {topic.name: topic.position for topic in self._topics.values()}

    async def _run(self, topic: _Topic) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while not self._closing.is_set():
            topic.wake.clear()
            try:
                events = await self._publish_next(topic)
            except (PyMongoError, TransientError) as error:
                topic.failure = str(error)
                _log.warning("relay will try again", topic=topic.name, reason=str(error), seconds=backoff)
            except Exception:  # noqa: BLE001 - a relay that stopped would hold back every event, unseen
                topic.failure = "met an unexpected fault; see the log"
                _log.exception("relay will try again", topic=topic.name, seconds=backoff)
            else:
                topic.failure, backoff = None, _FIRST_BACKOFF_SECONDS
                if events is None and not await is_set_within(topic.wake, _LOOK_AGAIN_SECONDS):
                    # A commit of unknown outcome, or another process's last one, wakes nobody.
                    self._feed.forget()
                elif events is not None and 0 < events < EVENTS_AT_ONCE:
                    await is_set_within(self._closing, _GATHER_SECONDS)
                continue
            await is_set_within(self._closing, backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF_SECONDS)

    async def _publish_next(self, topic: _Topic) -> int | None:
        """Publish what comes next on the topic; returns how many events, or None if none may go out now."""
        await self._prepared.wait()
        if self._closing.is_set():
            return None
        groups = await self._feed.after(topic.position)
        # Asked after reading: another server may have been found just by it.
        if self._compared_with is None or self._compared_with != serving(self._database.client):
            self._comparison_is_needed.set()
            return None
        if not groups or not self._agreement.may_publish:
            return None
        due: list[Record] = []
        for group in groups:
            due += group.by_topic.get(topic.name, ())
            last = group.number
            if len(due) >= EVENTS_AT_ONCE:
                break
        if due:
            records = await self._encode(due)
            try:
                await self._producer.publish(records, patience_seconds=_PATIENCE_SECONDS)
            except UnconfirmedError as error:
                _log.warning("not all events were confirmed", reason=error.message)
                topic.failure = error.message
                _unconfirmed.labels(topic.name).set(len(due))
                self._topics_are_needed.set()
                await error.delivery.settled
                if not error.delivery.is_confirmed():
                    raise
            _published.inc(len(due))
            _unconfirmed.labels(topic.name).set(0)
        topic.position = last
        return len(due)

    async def _keep_topics(self) -> None:
        """Make topics, and those that were deleted again; at once where events do not go out."""
        while not self._closing.is_set():
            self._topics_are_needed.clear()
            try:
                await self._prepare()
            except TransientError as error:
                if self._topics_failure != error.message:
                    _log.warning("topics are not there", reason=error.message)
                self._topics_failure = error.message
                await is_set_within(self._closing, _LOOK_SECONDS)
            except Exception:  # noqa: BLE001 - the next attempt may succeed, and events go out all the same
                self._topics_failure = "met an unexpected fault with the topics; see the log"
                _log.exception("topics are not there")
                await is_set_within(self._closing, _TOPICS_SECONDS)
            else:
                self._topics_failure = None
                # So no event waits for that; before the account has its rights it would fail for good.
                self._producer.connect()
                self._prepared.set()
                await is_set_within(self._topics_are_needed, _TOPICS_SECONDS)

    async def compare_now(self) -> None:
        """Compare what was published with the database, and publish on if they agree."""
        server = serving(self._database.client)
        agreement = await self._compare(self._write_something)
        if agreement.notice != self._agreement.notice:
            if agreement.notice:
                _log.error("what was published is not what the database holds", reason=agreement.notice)
            else:
                _log.info("what was published is what the database holds")
        self._agreement = agreement
        self._comparison_failure = None
        self._compared_with = server
        self.wake()

    async def _write_something(self) -> None:
        """A primary that has been replaced cannot, and might not know what was committed since."""
        now: Document = {"$currentDate": {"compared_at": True}}
        await self._positions.update_one({"_id": _POSITIONS}, now, upsert=True)

    async def _keep_comparing(self) -> None:
        """Compare when the relay needs it before it publishes, and now and then."""
        while not self._closing.is_set():
            self._comparison_is_needed.clear()
            try:
                await self.compare_now()
            except (PyMongoError, TransientError) as error:
                if self._comparison_failure != str(error):
                    _log.warning("what was published is not compared yet", reason=str(error))
                self._comparison_failure = str(error)
                await is_set_within(self._closing, _COMPARE_AGAIN_SECONDS)
            except Exception:  # noqa: BLE001 - the next attempt may succeed
                _log.exception("what was published is not compared yet")
                await is_set_within(self._closing, _COMPARE_AGAIN_SECONDS)
            else:
                is_final = self._agreement.may_publish and self._agreement.is_complete
                seconds = _COMPARE_SECONDS if is_final else _COMPARE_AGAIN_SECONDS
                await is_set_within(self._comparison_is_needed, seconds)

    async def _keep_positions(self) -> None:
        """Write positions down a little later, many at once: what is lost of them is published again."""
        failed_at = 0.0
        while not self._closing.is_set():
            await is_set_within(self._closing, _KEEP_SECONDS)
            if time.monotonic() < failed_at + 1:
                continue
            try:
                await self._keep()
            except PyMongoError as error:
                failed_at = time.monotonic()
                _log.info("positions not kept", reason=type(error).__name__)

    async def _keep(self) -> None:
        now = self.positions()
        if now != self._kept:
            # Where two processes take themselves for the ledger, the one behind takes nothing back.
            update: Document = {"$max": {f"seals.{name}": number for name, number in now.items()}}
            await self._positions.update_one({"_id": _POSITIONS}, update, upsert=True)
            self._kept = now


def _some(sealed: Sequence[Sealed]) -> Sequence[Sealed]:
    """Return as many of the seals, at least one, as hold the records that go out at once.

    Each may hold thousands; what is read and does not go out is read again the next time.
    """
    count = 0
    for place, (_, ids) in enumerate(sealed, 1):
        count += len(ids)
        if count >= EVENTS_AT_ONCE:
            return sealed[:place]
    return sealed


async def read_positions(database: Database, *, session: Session | None = None) -> dict[str, int]:
    """Return up to which seal each topic's events are known to be published."""
    kept = await database["positions"].find_one({"_id": _POSITIONS}, session=session) or {}
    return {name: int(number) for name, number in kept.get("seals", {}).items()}
