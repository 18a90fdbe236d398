"""What is committed is published: on a real Kafka, with Kafka away, and by two relays at once."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from daemons.banking_api.ledger import relay as relay_module
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import Agreement, Feed, Relay, read_positions
from daemons.banking_api.ledger.seal import Seal
from daemons.contracts.errors import TransientError
from daemons.contracts.events.table import DATA_MODELS
from daemons.contracts.names import EventType
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.kafka.topics import ensure_topics
from tests.faults.kafka_server import KafkaServer
from tests.support.bank import CLOSED_PORT, Bank, running_bank
from tests.support.ledgers import LedgerProcess, funding, ledger_process, transfer
from tests.support.listening import listening
from tests.support.waiting import eventually, patience


def records_in(broker: str, topic: str) -> int:
    """How many records a topic holds."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "none"})
    try:
        partitions = consumer.list_topics(topic).topics[topic].partitions
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, number)) for number in partitions]
        return sum(end for _, end in ends)
    finally:
        consumer.close()


async def all_is_published(bank: Bank) -> bool:
    """Whether every topic's position is that of the last seal."""
    head = await Journal(bank.ledger).head()
    return set((await read_positions(bank.ledger)).values()) == {head.number}


async def journal_ids(bank: Bank) -> set[str]:
    found = bank.ledger["journal"].find({"idem": {"$exists": True}}, {"_id": 1})
    return {str(document["_id"]) async for document in found}


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
        for topic, _, data in chain.from_iterable(listener.came.values()):
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
        assert len(wanted) == 4
        await eventually(lambda: all_is_published(bank))


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
            await eventually(lambda: all_is_published(bank))

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
            await eventually(lambda: all_is_published(bank))
            wanted = await journal_ids(bank)
            async with listening(kafka.address) as listener:
                await listener.until(lambda: wanted <= listener.came.keys())
            shown = (await olga.get("/ledger/outbox")).json()
            assert (len(wanted), shown["relay"]["failure"]) == (7, None)
    finally:
        kafka.kill()


class Publishing:
    """A relay over the journal of a process, which takes itself for the ledger, to topics of the test's own.

    Transfers go to the one topic, all else to the other; what one account's owner did goes under its key.
    """

    def __init__(self, process: LedgerProcess, broker: str, name: str) -> None:
        self.transfers, self.others = f"transfers-{name}", f"others-{name}"
        self.may_create = asyncio.Event()
        self.may_create.set()
        self._cluster = KafkaCluster(broker)
        self._process = process
        self.feed = Feed(process.journal, self._topic_of)
        self._producer = EventProducer(self._cluster, client_id="relay")
        self.relay = Relay(
            process.database,
            self.feed,
            self._producer,
            self._encode,
            topics=[self.transfers, self.others],
            prepare=self._prepare,
            compare=agree,
        )
        process.pipeline._committed = self._committed

    def _topic_of(self, record: Record) -> str:
        return self.transfers if record.kind == "transfer" else self.others

    async def _encode(self, records: Sequence[Record]) -> list[OutgoingRecord]:
        return [
            OutgoingRecord(self._topic_of(record), key_of(record), b"{}", {"ce_id": str(record.id)})
            for record in records
        ]

    async def _prepare(self) -> None:
        if not self.may_create.is_set():
            raise TransientError("unavailable", "by the test")
        await ensure_topics(self._cluster, [self.transfers, self.others])

    def _committed(self, seal: Seal, records: Sequence[Record]) -> None:
        self.feed.add(seal, records)
        self.relay.wake()

    async def is_behind(self, topic: str, seals: int, reason: str | None = None) -> bool:
        head = await self._process.journal.head()
        behind = head.number - self.relay.positions()[topic]
        return behind == seals and re.search(reason or "", str(self.relay.probe())) is not None

    async def is_done(self) -> bool:
        return await self.is_behind(self.transfers, 0) and await self.is_behind(self.others, 0)

    async def close(self) -> None:
        await self.relay.close()
        await self._producer.close()


def key_of(record: Record) -> str:
    """The account that pays, or is opened or funded."""
    return str(record.data.get("from") if record.kind == "transfer" else record.data.get("to", ""))


async def agree(confirm: Callable[[], Awaitable[object]]) -> Agreement:
    """Compare nothing: of that other tests ask."""
    await confirm()
    return Agreement()


@asynccontextmanager
async def publishing(process: LedgerProcess, broker: str, name: str) -> AsyncIterator[Publishing]:
    made = Publishing(process, broker, name)
    await made.relay.start()
    try:
        yield made
    finally:
        await made.close()


async def ids_in_order(process: LedgerProcess, kind: str) -> list[str]:
    """The ids of all records of a kind, as they are sealed."""
    sealed = await process.journal.seals_after(0, limit=1000)
    ids = [id_ for _, of_group in sealed for id_ in of_group]
    records = await process.journal.by_id(ids)
    return [str(id_) for id_ in ids if records[id_].kind == kind]


@pytest.mark.campaign
async def test_a_topic_that_is_deleted_comes_back_and_the_others_are_told_once(
    process: LedgerProcess, kafka_broker: str, database_name: str
) -> None:
    """The others' events used to be told again at each attempt; the topic never came back."""
    a, b = await process.open(2, balance=1000)
    async with publishing(process, kafka_broker, database_name) as told:
        relay, whole, deleted = told.relay, told.transfers, told.others

        async def commit(times: int) -> None:
            for _ in range(times):
                await process.post([transfer(a, b, 1), funding(a, 1)])

        await commit(5)
        await eventually(told.is_done)
        told.may_create.clear()
        admin = AdminClient({"bootstrap.servers": kafka_broker})
        admin.delete_topics([deleted])[deleted].result()
        await commit(5)
        await eventually(
            lambda: told.is_behind(deleted, 5, f"{deleted}: _UNKNOWN_TOPIC"),
            found=relay.probe,
        )
        await commit(5)
        async with listening(kafka_broker, [whole]) as listener:
            # What is not kept by the topic goes out meanwhile.
            await listener.until(lambda: len(listener.came) == 15)
            await eventually(lambda: told.is_behind(whole, 0))
            assert await told.is_behind(deleted, 10)
            told.may_create.set()
            await eventually(told.is_done)
            assert relay.probe() is None
            async with listening(kafka_broker, [deleted]) as other:
                await other.until(lambda: len(other.came) == 10)
            end = await asyncio.to_thread(records_in, kafka_broker, whole)
            await listener.until(lambda: sum(map(len, listener.came.values())) == end)
    assert {len(records) for records in listener.came.values()} == {1}


async def test_the_next_relay_goes_on_where_the_one_before_has_stopped(
    process: LedgerProcess, kafka_broker: str, database_name: str
) -> None:
    accounts = await process.open(7, balance=1000)

    async def pay(times: int) -> None:
        for _ in range(times):
            await process.post([transfer(accounts[n % 7], accounts[(n + 1) % 7], 1) for n in range(10)])

    async with publishing(process, kafka_broker, database_name) as first:
        await pay(30)
    # It has stopped somewhere on its way, and what was committed since is known to the journal only.
    await pay(30)
    async with publishing(process, kafka_broker, database_name) as second:
        await eventually(second.is_done)
    wanted = await ids_in_order(process, "transfer")
    async with listening(kafka_broker, [first.transfers]) as listener:
        await listener.until(lambda: set(wanted) <= listener.came.keys())
    times = Counter(len(records) for records in listener.came.values())
    assert times == {1: 600}


async def test_where_two_take_themselves_for_the_ledger_each_event_comes_in_the_order_of_the_seals(
    process: LedgerProcess, kafka_broker: str, mongo_uri: str, database_name: str
) -> None:
    """What is published twice is so under its own id: the first of each counts."""
    accounts = await process.open(6, balance=1000)
    async with (
        ledger_process(mongo_uri, database_name) as other,
        publishing(process, kafka_broker, database_name) as here,
        publishing(other, kafka_broker, database_name) as there,
    ):

        async def pay(by: LedgerProcess, payers: list[str]) -> None:
            for _ in range(30):
                await by.post([transfer(payer, accounts[0], 1) for payer in payers])

        await asyncio.gather(pay(process, accounts[1:]), pay(other, accounts[1:]))
        await eventually(here.is_done)
        await eventually(there.is_done)
    # Each was told of its own commits only, and both have published all.
    wanted = await ids_in_order(process, "transfer")
    async with listening(kafka_broker, [here.transfers]) as listener:
        await listener.until(lambda: len(listener.came) == len(wanted) == 300)
        end = await asyncio.to_thread(records_in, kafka_broker, here.transfers)
        await listener.until(lambda: sum(map(len, listener.came.values())) == end)
    assert end > 300
    for account in accounts[1:]:
        came = [event_id for event_id, records in listener.came.items() if records[0][1] == account]
        assert came == [event_id for event_id in wanted if event_id in set(came)]


async def test_a_relay_that_is_behind_takes_no_position_back(
    process: LedgerProcess, kafka_broker: str, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)
    async with publishing(process, kafka_broker, database_name) as told:
        await process.pay(a, b, 1)
        await eventually(told.is_done)
        behind = dict(told.relay.positions())
        async with ledger_process(mongo_uri, database_name) as other:
            async with publishing(other, kafka_broker, database_name) as next_one:
                await other.pay(a, b, 1)
                await eventually(next_one.is_done)
            ahead = await read_positions(process.database)
        # It was held up since, and writes down what it knows.
        for topic in told.relay._topics.values():
            topic.position = behind[topic.name]
        told.relay._kept = {}
        await told.relay._keep()
        assert await read_positions(process.database) == ahead
    assert ahead[told.transfers] > behind[told.transfers]


async def test_what_has_piled_up_is_published_without_pause(
    process: LedgerProcess, kafka_broker: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that gathered more between batches that are full would wait here."""
    [a] = await process.open(1)
    count = 3 * relay_module.EVENTS_AT_ONCE // 400 + 1
    for _ in range(count):
        await process.post([funding(a, 1) for _ in range(400)])
    pause = relay_module.is_set_within

    async def pause_for_long(until: asyncio.Event, seconds: float) -> bool:
        return await pause(until, 3600 if seconds == relay_module._GATHER_SECONDS else seconds)

    monkeypatch.setattr(relay_module, "is_set_within", pause_for_long)
    async with publishing(process, kafka_broker, database_name) as told:
        await eventually(told.is_done)
        tasks = list(told.relay._tasks)
    # It paused for more; closing ends that.
    assert [task.cancelled() for task in tasks] == [False] * len(tasks)
    async with listening(kafka_broker, [told.others]) as listener:
        await listener.until(lambda: len(listener.came) == count * 400 + 1)
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
