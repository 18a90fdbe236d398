"""What is committed is published: on a real Kafka, with Kafka away, and with several relays at once."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from daemons.contracts.errors import TransientError
from daemons.contracts.events import DATA_MODELS, EventType
from daemons.shared.ids import new_id
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.kafka.topics import ensure_topics
from daemons.shared.mongo import Session, connect, run_transaction
from daemons.shared.outbox import relay as relay_module
from daemons.shared.outbox.relay import Relay
from daemons.shared.outbox.store import OutboxEntry, OutboxStore
from tests.faults.kafka_server import KafkaServer
from tests.support.bank import CLOSED_PORT, Bank, running_bank
from tests.support.waiting import eventually, patience


class Listener:
    """Reads every topic from the start and remembers what came, by event id."""

    def __init__(self, broker: str, topics: list[str]) -> None:
        settings = {
            "bootstrap.servers": broker,
            "group.id": f"listener-{uuid4()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(settings)
        self._consumer.subscribe(topics)
        self.came: dict[str, list[tuple[str, str, dict[str, object]]]] = {}

    async def until(self, enough: Callable[[], bool]) -> None:
        async with patience("events", found=lambda: f"{len(self.came)} came"):
            while not enough():
                await asyncio.to_thread(self._read)

    def _read(self) -> None:
        for message in self._consumer.consume(500, timeout=0.2):
            if message.error() is None:
                headers = dict(message.headers() or [])
                key = (message.key() or b"").decode()
                data = json.loads(message.value() or b"{}")
                event_id = headers["ce_id"].decode()
                self.came.setdefault(event_id, []).append((message.topic() or "", key, data))

    def close(self) -> None:
        self._consumer.close()


@asynccontextmanager
async def listening(broker: str, topics: list[str] | None = None) -> AsyncIterator[Listener]:
    listener = Listener(broker, topics or [event.value for event in EventType])
    try:
        yield listener
    finally:
        await asyncio.to_thread(listener.close)


def records_in(broker: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "none"})
    try:
        partitions = consumer.list_topics(topic).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in partitions]
        return sum(end for _, end in ends)
    finally:
        consumer.close()


async def outbox_is_empty(bank: Bank) -> bool:
    return await bank.ledger["outbox"].count_documents({}) == 0


async def journal_ids(bank: Bank) -> set[str]:
    return {str(document["_id"]) async for document in bank.ledger["journal"].find({}, {"_id": 1})}


async def test_every_transaction_is_told_with_names(telling_bank: Bank, kafka_broker: str) -> None:
    bank = telling_bank
    alice, bob, olga = (
        await bank.person(),
        await bank.person("Bob"),
        await bank.person("Olga", "operator"),
    )
    sender, receiver = await alice.open_account(), await bob.open_account()
    funded = (await olga.fund(sender, "50.00")).json()["id"]
    paid = (await alice.transfer(sender, receiver, "12.34", reference="rent")).json()["id"]
    failed = (await alice.transfer(sender, receiver, "99.00")).json()["details"]["transaction_id"]
    async with listening(kafka_broker) as listener:
        await listener.until(lambda: {funded, paid, failed} <= listener.came.keys())
        [(topic, key, data)] = listener.came[paid]
        assert (topic, key) == ("TransactionCompleted", sender)
        assert data["amount"] == {"amount": "12.34", "currency": "EUR"}
        assert data["sender"]["owner"]["display_name"] == "Alice"  # type: ignore[index]
        assert data["receiver"]["owner"]["display_name"] == "Bob"  # type: ignore[index]
        assert data["reference"] == "rent"
        [(topic, key, data)] = listener.came[funded]
        assert (topic, key) == ("AccountFundedPayload", sender)
        assert data["initiated_by"] == {"user_id": olga.user_id, "display_name": "Olga"}
        [(topic, _, data)] = listener.came[failed]
        assert topic == "TransactionFailed"
        assert data["failure"]["code"] == "insufficient_funds"  # type: ignore[index]
        for [(topic, _, data)] in listener.came.values():
            DATA_MODELS[EventType(topic)].model_validate_json(json.dumps(data))


@pytest.mark.campaign
async def test_a_broker_failure_fails_no_transfer_and_loses_no_event(
    mongo_uri: str, kafka_broker: str
) -> None:
    """Publishing after the commit answered 500 though money had moved; here nobody notices."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, olga = await bank.person(), await bank.person("Olga", "operator")
        sender, receiver = await alice.open_account(), await alice.open_account()
        assert (await olga.fund(sender, "50.00")).status_code == 201
        key = str(uuid4())
        first = await alice.transfer(sender, receiver, "5.00", key=key)
        retried = await alice.transfer(sender, receiver, "5.00", key=key)
        assert (first.status_code, retried.json()) == (201, first.json())
        assert await alice.balance(sender) == "45.00"
        suffix = bank.suffix
    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        wanted = await journal_ids(bank)
        async with listening(kafka_broker) as listener:
            await listener.until(lambda: wanted <= listener.came.keys())
        assert len(wanted) == 2
        await eventually(lambda: outbox_is_empty(bank))


@pytest.mark.campaign
async def test_a_broker_that_dies_in_the_midst_of_publishing_loses_no_event(
    mongo_uri: str, tmp_path: Path
) -> None:
    """It has taken the records and not confirmed them when it is killed."""
    kafka = KafkaServer(tmp_path)
    kafka.format()
    kafka.start()
    try:
        await kafka.until_it_serves()
        async with running_bank(mongo_uri, kafka_broker=kafka.address) as bank:
            alice, olga = await bank.person(), await bank.person("Olga", "operator")
            sender, receiver = await alice.open_account(), await alice.open_account()
            assert (await olga.fund(sender, "50.00")).status_code == 201
            await eventually(lambda: outbox_is_empty(bank))

            async def kept_by_kafka() -> bool:
                shown = (await olga.get("/ledger/outbox")).json()
                failure = str(shown["relay"]["failure"])
                return "TransactionCompleted" in failure and "not confirmed yet" in failure

            kafka.pause()
            for _ in range(3):
                assert (await alice.transfer(sender, receiver, "5.00")).status_code == 201
            await eventually(kept_by_kafka)
            kafka.kill()
            assert (await alice.transfer(sender, receiver, "99.00")).status_code == 422
            kafka.start()
            await eventually(lambda: outbox_is_empty(bank))
            wanted = await journal_ids(bank)
            async with listening(kafka.address) as listener:
                await listener.until(lambda: wanted <= listener.came.keys())
            shown = (await olga.get("/ledger/outbox")).json()
            assert (len(wanted), shown["relay"]["failure"]) == (5, None)
    finally:
        kafka.kill()


@pytest.mark.campaign
async def test_a_topic_that_is_deleted_comes_back_and_the_others_are_told_once(
    mongo_uri: str, kafka_broker: str, database_name: str
) -> None:
    """The others' events used to be told again at each attempt; the topic never came back."""
    cluster = KafkaCluster(kafka_broker)
    whole, deleted = f"whole-{database_name}", f"deleted-{database_name}"
    may_create = asyncio.Event()
    may_create.set()

    async def prepare() -> None:
        if not may_create.is_set():
            raise TransientError("unavailable", "by the test")
        await ensure_topics(cluster, [whole, deleted])

    async def encode(entries: Sequence[OutboxEntry]) -> list[OutgoingRecord]:
        return [
            OutgoingRecord(topic, "k", b"{}", {"ce_id": f"{topic} {entry.id}"})
            for entry in entries
            for topic in (whole, deleted)
        ]

    async with connect(mongo_uri, daemon="tests") as client:
        outbox = OutboxStore(client[database_name])
        producer = EventProducer(cluster, client_id="relay")
        relay = Relay(outbox, producer, encode, prepare=prepare)
        relay.start()

        async def commit(times: int) -> None:
            for _ in range(times):
                await run_transaction(client, lambda session: outbox.add({}, events=2, session=session))
                relay.wake()

        async def waiting(commits: int, reason: str | None) -> bool:
            return (await outbox.waiting()).commits == commits and (reason or "") in str(await relay.probe())

        await commit(5)
        await eventually(lambda: waiting(0, None))
        may_create.clear()
        admin = AdminClient({"bootstrap.servers": kafka_broker})
        admin.delete_topics([deleted])[deleted].result()
        await commit(5)
        await eventually(lambda: waiting(5, f"{deleted} (5 wait): _UNKNOWN_TOPIC"))
        await commit(5)
        async with listening(kafka_broker, [whole]) as listener:
            # What is not kept by the topic goes out meanwhile.
            await listener.until(lambda: len(listener.came) == 15)
            assert (await outbox.waiting()).commits == 10
            may_create.set()
            await eventually(lambda: waiting(0, None))
            assert await relay.probe() is None
            async with listening(kafka_broker, [deleted]) as other:
                await other.until(lambda: len(other.came) == 10)
            await relay.close()
            await producer.close()
            end = await asyncio.to_thread(records_in, kafka_broker, whole)
            await listener.until(lambda: sum(map(len, listener.came.values())) == end)
    assert {len(records) for records in listener.came.values()} == {1}


async def test_several_relays_tell_everything_once(
    mongo_uri: str, kafka_broker: str, database_name: str
) -> None:
    topic = f"relays-{database_name}"

    async def encode(entries: Sequence[OutboxEntry]) -> list[OutgoingRecord]:
        return [
            OutgoingRecord(topic, f"k{number % 7}", b"{}", {"ce_id": str(event_id)})
            for entry in entries
            for number, event_id in enumerate(entry.body["ids"])
        ]

    async def prepare() -> None:
        await ensure_topics(KafkaCluster(kafka_broker), [topic])

    async with connect(mongo_uri, daemon="tests") as client:
        outbox = OutboxStore(client[database_name])
        producers = [EventProducer(KafkaCluster(kafka_broker), client_id=f"relay-{n}") for n in range(3)]
        relays = [Relay(outbox, producer, encode, prepare=prepare) for producer in producers]
        for relay in relays:
            relay.start()
        wanted: set[UUID] = set()

        async def commit(session: Session) -> None:
            ids = [new_id() for _ in range(10)]
            await outbox.add({"ids": ids}, events=len(ids), session=session)
            wanted.update(ids)

        for _ in range(30):
            await run_transaction(client, commit)
            relays[0].wake()
        # One relay stops half way; another takes over.
        await relays.pop(0).close()
        for _ in range(30):
            await run_transaction(client, commit)
        async with listening(kafka_broker, [topic]) as listener:
            await listener.until(lambda: {str(event_id) for event_id in wanted} <= listener.came.keys())
        for relay in relays:
            await relay.close()
        for producer in producers:
            await producer.close()
    times = Counter(len(records) for records in listener.came.values())
    assert times == {1: 600}


async def test_what_has_piled_up_is_published_without_pause(
    mongo_uri: str, kafka_broker: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries are found again until they are removed; a relay that took that for the end would wait here."""
    topic = f"piled-up-{database_name}"

    async def encode(entries: Sequence[OutboxEntry]) -> list[OutgoingRecord]:
        return [
            OutgoingRecord(topic, "k", b"{}", {"ce_id": f"{entry.id}-{number}"})
            for entry in entries
            for number in range(entry.events)
        ]

    async def prepare() -> None:
        await ensure_topics(KafkaCluster(kafka_broker), [topic])

    async with connect(mongo_uri, daemon="tests") as client:
        outbox = OutboxStore(client[database_name])
        count = 3 * relay_module.EVENTS_AT_ONCE // 400 + 1

        async def commit(session: Session) -> None:
            for _ in range(count):
                await outbox.add({}, events=400, session=session)

        await run_transaction(client, commit)
        producer = EventProducer(KafkaCluster(kafka_broker), client_id="relay")
        relay = Relay(outbox, producer, encode, prepare=prepare)
        pause = relay_module._pause

        async def pause_for_long(until: asyncio.Event, seconds: float) -> None:
            await pause(until, 3600 if until in {relay._wake, relay._closing} else seconds)

        monkeypatch.setattr(relay_module, "_pause", pause_for_long)
        relay.start()

        async def empty() -> bool:
            return await outbox.pending_events() == 0

        await eventually(empty)
        await relay.close()
        await producer.close()
        # It paused for more; closing ends that.
        assert relay._running is not None
        assert not relay._running.cancelled()
        async with listening(kafka_broker, [topic]) as listener:
            await listener.until(lambda: len(listener.came) == count * 400)
    assert all(len(records) == 1 for records in listener.came.values())


async def test_a_cut_line_pays_at_most_once(bank: Bank) -> None:
    alice, olga = await bank.person(), await bank.person("Olga", "operator")
    sender, receiver = await alice.open_account(), await alice.open_account()
    await olga.fund(sender, "50.00")
    key = str(uuid4())
    request = asyncio.create_task(alice.transfer(sender, receiver, "5.00", key=key))
    await asyncio.sleep(0)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    assert request.cancelled()
    async with patience("the transfer to be known"):
        while (answer := await alice.transfer(sender, receiver, "5.00", key=key)).status_code != 201:
            assert answer.json()["code"] == "idempotency_key_in_use"
    assert await alice.balance(sender) == "45.00"


async def test_the_outbox_says_what_waits_and_why(mongo_uri: str) -> None:
    """Without Kafka events wait; the route tells how many, since when, and what keeps the relay."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, sam = await bank.person(), await bank.person("Sam", "support")
        assert (await alice.get("/ledger/outbox")).status_code == 403
        before = (await sam.get("/ledger/outbox")).json()
        assert (before["pending_events"], before["oldest_at"], before["oldest_age_seconds"]) == (
            0,
            None,
            None,
        )
        await alice.open_account()
        await alice.open_account()

        async def told() -> bool:
            waiting = (await sam.get("/ledger/outbox")).json()
            return waiting["pending_events"] == 2 and waiting["relay"]["failure"] is not None

        await eventually(told)
        waiting = (await sam.get("/ledger/outbox")).json()
        assert waiting["pending_commits"] == 2
        assert waiting["oldest_age_seconds"] >= 0
        assert "Kafka" in waiting["relay"]["failure"]
        ready = await alice.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert "Kafka" in ready.json()["notices"]["events"]


async def test_the_outbox_names_the_relay_that_publishes(telling_bank: Bank) -> None:
    olga = await telling_bank.person("Olga", "operator")
    await olga.open_account()

    async def published() -> bool:
        shown = (await olga.get("/ledger/outbox")).json()
        return shown["pending_events"] == 0 and shown["relay"]["lease_holder"] is not None

    await eventually(published)
    shown = (await olga.get("/ledger/outbox")).json()
    assert shown["relay"]["failure"] is None
    assert shown["relay"]["lease_until"] > ""


async def test_a_correction_is_told_under_its_own_type(telling_bank: Bank, kafka_broker: str) -> None:
    alice, olga, omar = (
        await telling_bank.person(),
        await telling_bank.person("Olga", "operator"),
        await telling_bank.person("Omar", "operator"),
    )
    account = await alice.open_account()
    body = {"direction": "credit", "amount": "3.00", "currency": "EUR", "reason": "fee charged twice"}
    asked = await olga.post(f"/accounts/{account}/adjust", body, key=str(uuid4()))
    done = await omar.call("POST", f"{asked.headers['Location']}/approve")
    event_id = done.json()["outcome"]["transaction_id"]
    async with listening(kafka_broker, ["AccountAdjusted"]) as listener:
        await listener.until(lambda: event_id in listener.came)
        [(topic, key, data)] = listener.came[event_id]
    DATA_MODELS[EventType(topic)].model_validate_json(json.dumps(data))
    assert (topic, key, data["direction"], data["reason"]) == (
        "AccountAdjusted",
        account,
        "credit",
        "fee charged twice",
    )
    assert data["initiated_by"] == {"user_id": olga.user_id, "display_name": "Olga"}
    assert data["account"]["owner"]["display_name"] == "Alice"  # type: ignore[index]
