"""Two notifier processes, a real Kafka and a real MongoDB: nothing is lost and nothing happens twice."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not by __all__
    AdminClient,
    OffsetSpec,
)

from daemons.contracts.digest import EventSetDigest, event_content
from daemons.contracts.errors import TransientError
from daemons.contracts.names import REACHED, EventType
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.kafka.topics import PARTITIONS, ensure_topics
from daemons.shared.mongo import Database
from tests.support.events import ids_of, transfers
from tests.support.kafka import running_kafka
from tests.support.mongo import server_parameter
from tests.support.notifier import (
    Notifier,
    PlayedUserApi,
    await_ready,
    ended_status,
    notifier_process,
    take,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.campaign

_HELD_SECONDS = 600
"""How long a transaction of a test may stay open: longer than anything is waited for."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[str]:
    """A broker of the test's own: the topics and the group are the same for every test."""
    with running_kafka(tmp_path) as address:
        yield address


@pytest_asyncio.fixture
async def producer(broker: str) -> AsyncIterator[EventProducer]:
    await ensure_topics(KafkaCluster(broker), [event_type.value for event_type in EventType])
    made = EventProducer(KafkaCluster(broker), client_id="tests")
    yield made
    await made.close()


@pytest.fixture
def parts(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> tuple[str, str, str]:
    """What a notifier's process works with: MongoDB, its database there, user_api."""
    return mongo_uri, notifier_database.name, users[1]


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


async def _recorded(database: Database) -> int:
    return await database["events"].count_documents({})


async def _assert_each_once(database: Database, ids: list[UUID]) -> None:
    events = await database["events"].find({}, {"id": 1}).sort("_id").to_list()
    assert [event["_id"] for event in events] == list(range(1, len(ids) + 1))
    assert sorted(event["id"] for event in events) == sorted(ids)
    notified = [document["event_id"] async for document in database["notifications"].find()]
    assert sorted(notified) == sorted(ids)


def _committed_offsets(broker: str) -> int:
    """Return how many records the group has committed in all."""
    admin = AdminClient({"bootstrap.servers": broker}, logger=None)
    asked = [ConsumerGroupTopicPartitions("notifier")]
    [future] = admin.list_consumer_group_offsets(asked).values()
    return sum(max(0, partition.offset) for partition in future.result().topic_partitions)


async def test_two_processes_record_each_event_once_though_one_is_killed(
    tmp_path: Path,
    parts: tuple[str, str, str],
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    broker: str,
    producer: EventProducer,
    http: httpx.AsyncClient,
) -> None:
    log = tmp_path / "notifier.log"
    with ExitStack() as processes:

        def start() -> tuple[object, str]:
            return processes.enter_context(notifier_process(*parts, broker=broker, log=log))

        (victim, victim_url), (_, url) = start(), start()
        await asyncio.gather(await_ready(http, victim_url), await_ready(http, url))
        records = transfers(3000)
        publishing = asyncio.create_task(_publish_twice(producer, records))

        async def some_recorded() -> bool:
            return await _recorded(notifier_database) > 200

        await eventually(some_recorded, every_seconds=0.01)
        victim.kill()
        await publishing

        await _until_recorded(notifier_database, len(records))
        await _assert_each_once(notifier_database, ids_of(records))
        expected = EventSetDigest()
        for record in records:
            headers, data = record.headers, json.loads(record.value)
            content = event_content(record.topic, record.key, str(headers["ce_time"]), data)
            expected.add(UUID(str(headers["ce_id"])), content)
        proof = (await Notifier(url, http, users[0]).get("/events/proof")).json()
        assert proof["holds"]
        for shown in (proof["events"], proof["notifications"]):
            assert (shown["count"], shown["digest"]) == (len(records), expected.hexdigest())


async def test_offsets_are_not_committed_before_the_effect(
    tmp_path: Path,
    parts: tuple[str, str, str],
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    broker: str,
    producer: EventProducer,
    http: httpx.AsyncClient,
) -> None:
    log = tmp_path / "notifier.log"
    records = transfers(300)
    with notifier_process(*parts, broker=broker, log=log) as (victim, url):
        await await_ready(http, url)
        notifier = Notifier(url, http, users[0])
        async with _first_position_held(notifier_database):
            await producer.publish(records)

            async def told_to_wait() -> bool:
                waiting = (await notifier.get("/events/summary")).json()["waiting"]
                return {one["topic"]: one["records"] for one in waiting}[records[0].topic] == len(records)

            await eventually(told_to_wait)

            async def a_batch_has_failed_twice() -> bool:
                return log.read_text().count("effect failed, will try again") >= 2

            # Each takes the eight seconds of a transaction, and what is stored is committed after one.
            await eventually(a_batch_has_failed_twice)
            victim.kill()
            victim.wait()
    assert _committed_offsets(broker) == 0
    assert await _recorded(notifier_database) == 0
    with notifier_process(*parts, broker=broker, log=log) as (successor, url):
        await _until_recorded(notifier_database, len(records))
        await _assert_each_once(notifier_database, ids_of(records))

        async def all_committed() -> bool:
            return await asyncio.to_thread(_committed_offsets, broker) == len(records)

        await eventually(all_committed)
        assert await asyncio.to_thread(ended_status, successor) == 0


async def test_a_poisoned_record_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path,
    parts: tuple[str, str, str],
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    broker: str,
    producer: EventProducer,
    http: httpx.AsyncClient,
) -> None:
    good = transfers(20)
    poison = OutgoingRecord("TransactionFailed", "key", b"\x00 poison", {"ce_id": "17", "none": None})
    with notifier_process(*parts, broker=broker, log=tmp_path / "notifier.log") as (process, url):
        await await_ready(http, url)
        notifier = Notifier(url, http, users[0])
        async with notifier.stream() as events:
            await producer.publish([*good[:10], poison, *good[10:]])
            assert await take(events, len(good)) == list(range(1, 21))

            async def set_aside() -> bool:
                return await notifier_database["dead_letters"].count_documents({}) == 1

            await eventually(set_aside)
            assert "bankctl_notifier_dead_letters_total" in (await http.get(f"{url}/metrics")).text
            # A daemon with a stream open must not keep whoever stops it waiting.
            assert await asyncio.to_thread(ended_status, process) == 0
            assert [event.data async for event in events if event.event != REACHED] == [""]
    [letter] = await notifier_database["dead_letters"].find().to_list()
    assert (letter["topic"], letter["value"]) == ("TransactionFailed", b"\x00 poison")


async def test_a_topic_that_was_made_anew_is_consumed_from_its_start(
    tmp_path: Path,
    parts: tuple[str, str, str],
    broker: str,
    producer: EventProducer,
    notifier_database: Database,
    http: httpx.AsyncClient,
) -> None:
    """At its old offset the consumer would pass over what lies before it, and say nothing."""
    topic = Topic(broker, EventType.TRANSACTION_COMPLETED.value)
    first, second, third = transfers(40), transfers(100), transfers(60)
    started = notifier_process(*parts, broker=broker, log=tmp_path / "notifier.log")
    with started as (_, url):

        async def missing_is_told() -> bool:
            answer = await http.get(f"{url}/readyz")
            return f"no topic {topic.name}" in answer.json().get("reasons", {}).get("kafka", "")

        await await_ready(http, url)
        await producer.publish(first)
        await _until_recorded(notifier_database, 40)
        # At once, so that nobody has seen that it was away.
        await topic.make_anew()
        await _publish_when_possible(producer, second)
        await _until_recorded(notifier_database, 140)
        await topic.delete()
        await eventually(missing_is_told)
        await ensure_topics(KafkaCluster(broker), [topic.name])
        await _publish_when_possible(producer, third)
        await _until_recorded(notifier_database, 200)
        await await_ready(http, url)
    await _assert_each_once(notifier_database, ids_of([*first, *second, *third]))


async def test_a_topic_that_was_made_anew_while_nobody_consumed_is_consumed_from_its_start(
    tmp_path: Path,
    parts: tuple[str, str, str],
    broker: str,
    producer: EventProducer,
    notifier_database: Database,
    http: httpx.AsyncClient,
) -> None:
    topic = Topic(broker, EventType.TRANSACTION_COMPLETED.value)
    first, second = transfers(40), transfers(100)
    with notifier_process(*parts, broker=broker, log=tmp_path / "first.log") as (process, url):
        await await_ready(http, url)
        await producer.publish(first)
        await _until_recorded(notifier_database, 40)
        assert await asyncio.to_thread(ended_status, process) == 0
    assert await asyncio.to_thread(_committed_offsets, broker) == 40

    await topic.make_anew()
    await _publish_when_possible(producer, second)
    with notifier_process(*parts, broker=broker, log=tmp_path / "second.log"):
        await _until_recorded(notifier_database, 140)
    await _assert_each_once(notifier_database, ids_of([*first, *second]))


class Topic:
    """One topic of a broker, to be deleted and made again."""

    def __init__(self, broker: str, name: str) -> None:
        self.name = name
        self._broker = broker
        self._admin = AdminClient({"bootstrap.servers": broker})

    async def delete(self) -> None:
        await asyncio.to_thread(self._admin.delete_topics([self.name])[self.name].result)

    async def make_anew(self) -> None:
        """Delete and make it; until this returns, what is published may be deleted with the old one."""
        old = await asyncio.to_thread(self._id)
        await self.delete()
        await ensure_topics(KafkaCluster(self._broker), [self.name])

        def is_new() -> bool:
            try:
                # The broker tells the new id before it lets go of the old log, and takes records into that.
                return self._id() != old and self._is_empty()
            except KafkaException:
                # It is between the old one and the new one.
                return False

        await eventually(lambda: asyncio.to_thread(is_new))

    def _id(self) -> str:
        return str(self._admin.describe_topics(TopicCollection([self.name]))[self.name].result().topic_id)

    def _is_empty(self) -> bool:
        places = {
            TopicPartition(self.name, partition): OffsetSpec.latest() for partition in range(PARTITIONS)
        }  # type: ignore[no-untyped-call]
        return all(future.result().offset == 0 for future in self._admin.list_offsets(places).values())


async def _until_recorded(database: Database, count: int) -> None:
    found = 0

    async def recorded() -> bool:
        nonlocal found
        found = await _recorded(database)
        return found == count

    await eventually(recorded, found=lambda: found)


async def _publish_when_possible(producer: EventProducer, records: list[OutgoingRecord]) -> None:
    """Publish to a topic that the producer may still take for deleted."""

    async def published() -> bool:
        try:
            await producer.publish(records)
        except TransientError:
            return False
        return True

    await eventually(published)


async def _publish_twice(producer: EventProducer, records: list[OutgoingRecord]) -> None:
    """Publish as a relay does that was cut off between a delivery and its own note of it."""
    for start in range(0, len(records), 100):
        for _ in range(2):
            await producer.publish(records[start : start + 100])


@asynccontextmanager
async def _first_position_held(database: Database) -> AsyncIterator[None]:
    """While the block runs, every batch can be begun and none recorded."""
    client = database.client
    async with client.start_session() as session, await session.start_transaction():
        # Not for those that begin later: what a killed process leaves open must end soon.
        async with server_parameter(client, "transactionLifetimeLimitSeconds", _HELD_SECONDS):
            await database["events"].insert_one({"_id": 1}, session=session)
        yield
        # An error if the server has ended the transaction meanwhile: then nothing was held.
        await database["events"].find_one({"_id": 1}, session=session)
        await session.abort_transaction()
