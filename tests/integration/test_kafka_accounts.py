"""Kafka with accounts as compose.yaml has it: who is let in, and what each may do (security.md, item 24)."""

import asyncio
import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from daemons.banking_api.books.unpublished import Unpublished
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import Agreement, Feed, Relay
from daemons.contracts.errors import TransientError
from daemons.contracts.kafka_accounts import BANKING_TOPICS, NOTIFIER_GROUP, TOPICS, USER_TOPICS, KafkaGrant
from daemons.shared.kafka import producer as producer_module
from daemons.shared.kafka.accounts import prepare_accounts
from daemons.shared.kafka.connection import KafkaAccount, KafkaCluster
from daemons.shared.kafka.consumer import EventConsumer
from daemons.shared.kafka.newest import ReadingRefusedError, read_newest
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import IncomingRecord, OutgoingRecord
from daemons.shared.kafka.topics import ensure_topics, probe_kafka
from daemons.shared.mongo import Database
from tests.support.compose_kafka import SECRETS, ComposeKafka, run_kafka_accounts, running_compose_kafka
from tests.support.ledgers import ledger_process
from tests.support.waiting import eventually

TOPIC = TOPICS[0]
PASSWORD = "the password of an account of these tests"
QUIET = logging.getLogger("kafka.tests")
WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeKafka]:
    with running_compose_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.mark.parametrize(("account", "topics"), [("banking_api", BANKING_TOPICS), ("user_api", USER_TOPICS)])
async def test_what_a_daemon_tells_the_notifier_reads(
    kafka: ComposeKafka, account: str, topics: tuple[str, ...]
) -> None:
    telling, notifier = kafka.cluster(account), kafka.cluster("notifier")
    # What was granted when the broker was prepared holds a moment later.
    for cluster in (telling, notifier):
        await eventually(lambda cluster=cluster: _answers(cluster))
    # The topics are there, so neither needs a right to create them.
    await ensure_topics(telling, topics)
    await ensure_topics(notifier, TOPICS)
    received: list[IncomingRecord] = []

    async def take(records: Any) -> None:
        received.extend(records)

    consumer = EventConsumer(notifier, group=NOTIFIER_GROUP, topics=TOPICS, effect=take)
    producer = EventProducer(telling, client_id="tests")
    consumer.start()
    try:
        sent = [OutgoingRecord(topic, "key", str(uuid4()).encode(), {}) for topic in topics]
        await producer.publish(sent)
        await eventually(lambda: _all_there({one.value for one in sent}, received))
        assert await consumer.probe() is None
    finally:
        await producer.close()
        await consumer.close()
    assert _committed(notifier) > 0


@pytest.mark.parametrize("account", ["banking_api", "user_api", "notifier"])
async def test_a_wrong_password_is_refused_and_named(kafka: ComposeKafka, account: str) -> None:
    cluster = kafka.cluster(account, password="not the password")
    reason = await probe_kafka(cluster)
    assert reason is not None
    assert f"refuses the account {account!r}" in reason
    assert "KAFKA_PASSWORD" in reason
    assert "not the password" not in reason
    with pytest.raises(TransientError, match="refuses the account"):
        await ensure_topics(cluster, TOPICS)


async def test_nobody_without_an_account_is_let_in(kafka: ComposeKafka) -> None:
    assert await probe_kafka(KafkaCluster(kafka.brokers)) is not None


def test_the_super_user_is_not_known_where_clients_connect(kafka: ComposeKafka) -> None:
    given = kafka.environment("kafka-accounts")
    settings: dict[str, Any] = {
        "bootstrap.servers": kafka.brokers,
        "security.protocol": "sasl_plaintext",
        "log_level": 0,
    }
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        account = {
            "sasl.mechanism": mechanism,
            "sasl.username": given["KAFKA_USERNAME"],
            "sasl.password": given["KAFKA_PASSWORD"],
        }
        with pytest.raises(KafkaException):
            AdminClient({**settings, **account}).list_topics(timeout=3)


def test_each_daemon_writes_to_its_own_topics_and_the_notifier_to_none(kafka: ComposeKafka) -> None:
    for topic in TOPICS:
        may = "banking_api" if topic in BANKING_TOPICS else "user_api"
        for account in ("banking_api", "user_api", "notifier"):
            refusal = None if account == may else "TOPIC_AUTHORIZATION_FAILED"
            assert _delivery(kafka.cluster(account), topic) == refusal, (account, topic)


@pytest.mark.parametrize("account", ["banking_api", "user_api"])
@pytest.mark.parametrize("group", [NOTIFIER_GROUP, "another"])
def test_who_tells_events_joins_no_group(kafka: ComposeKafka, account: str, group: str) -> None:
    assert "AUTHORIZATION_FAILED" in " ".join(_faults_of_reading(kafka.cluster(account), group=group))


async def test_banking_api_reads_how_its_topics_end_in_no_group(kafka: ComposeKafka) -> None:
    banking = kafka.cluster("banking_api")
    await ensure_topics(banking, BANKING_TOPICS)
    sent = [OutgoingRecord(TOPIC, f"key {number}", str(uuid4()).encode(), {}) for number in range(40)]
    producer = EventProducer(banking, client_id="tests")
    try:
        await producer.publish(sent)
    finally:
        await producer.close()
    newest = await read_newest(banking, BANKING_TOPICS, each=100)
    assert newest.unread == []
    assert {one.value for one in sent} <= {record.value for record in newest.records}
    few = await read_newest(banking, [TOPIC], each=2)
    assert max(Counter(record.partition for record in few.records).values()) == 2
    assert _ends(few.records) == _ends(record for record in newest.records if record.topic == TOPIC)


async def test_who_may_not_read_the_topics_is_told(kafka: ComposeKafka) -> None:
    environment = kafka.environment("kafka-accounts")
    too_little = KafkaGrant(account="banking_api", creates=BANKING_TOPICS, writes=BANKING_TOPICS)
    password = {"banking_api": environment["BANKING_API_PASSWORD"]}
    banking = kafka.cluster("banking_api")
    try:
        # Where there is nothing to read, nobody is refused it.
        assert _delivery(banking, TOPIC) is None
        prepare_accounts(_root(kafka), [too_little], password)
        await eventually(lambda: _may_not_read(banking))
    finally:
        await asyncio.to_thread(run_kafka_accounts, environment)
    await eventually(lambda: _may_read(banking))


def test_the_notifier_reads_in_its_own_group_only(kafka: ComposeKafka) -> None:
    assert "GROUP_AUTHORIZATION_FAILED" in _faults_of_reading(kafka.cluster("notifier"), group="another")


@pytest.mark.parametrize("account", ["banking_api", "user_api", "notifier"])
async def test_no_daemon_may_create_delete_or_grant(kafka: ComposeKafka, account: str) -> None:
    topic = USER_TOPICS[0] if account == "user_api" else TOPIC
    admin = AdminClient({**kafka.cluster(account).client_settings(), "log_level": 0})
    created = admin.create_topics([NewTopic("stray", num_partitions=1)], request_timeout=WAIT_SECONDS)
    deleted = admin.delete_topics([topic], request_timeout=WAIT_SECONDS)
    for done in (*created.values(), *deleted.values()):
        with pytest.raises(KafkaException) as refused:
            done.result()
        assert "AUTHORIZATION_FAILED" in refused.value.args[0].name()
    with pytest.raises(TransientError, match="stray"):
        await ensure_topics(kafka.cluster(account), ["stray"])
    assert topic in admin.list_topics(timeout=WAIT_SECONDS).topics


async def test_a_right_too_many_is_taken_away(kafka: ComposeKafka) -> None:
    environment = kafka.environment("kafka-accounts")
    too_much = KafkaGrant(account="notifier", writes=(TOPIC,), reads=TOPICS, group=NOTIFIER_GROUP)
    password = {"notifier": environment["NOTIFIER_PASSWORD"]}
    prepare_accounts(_root(kafka), [too_much], password)
    await eventually(lambda: _taken(kafka.cluster("notifier")))
    await asyncio.to_thread(run_kafka_accounts, environment)
    # The broker applies changes in their order: once a later one holds, so do those before it.
    later = _cluster(kafka, "later")
    grant = KafkaGrant(account="later", reads=TOPICS)
    prepare_accounts(_root(kafka), [grant], {"later": PASSWORD})
    await eventually(lambda: _may_read(later))
    assert _delivery(kafka.cluster("notifier"), TOPIC) == "TOPIC_AUTHORIZATION_FAILED"


async def test_a_relay_that_comes_before_its_rights_publishes_once_it_has_them(
    kafka: ComposeKafka, mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start of a bank; a producer that is refused its rights fails for good."""
    made: list[Producer] = []

    def make(*arguments: Any, **named: Any) -> Producer:
        made.append(Producer(*arguments, **named))
        return made[-1]

    async def encode(records: Iterable[Record]) -> list[OutgoingRecord]:
        return [OutgoingRecord(TOPIC, "key", b"x", {"ce_id": str(record.id)}) for record in records]

    async def agree(_: Callable[[], Awaitable[object]]) -> Agreement:
        return Agreement()

    monkeypatch.setattr(producer_module, "Producer", make)
    prepare_accounts(_root(kafka), [KafkaGrant(account="early")], {"early": PASSWORD})
    early = _cluster(kafka, "early")
    await eventually(lambda: _answers(early))
    async with ledger_process(mongo_uri, database_name) as process:
        await process.open(1)
        producer = EventProducer(early, client_id="early")
        relay = Relay(
            process.database,
            Feed(process.journal, lambda _: TOPIC),
            producer,
            encode,
            topics=TOPICS,
            prepare=lambda: ensure_topics(early, TOPICS),
            compare=agree,
        )
        await relay.start()
        try:
            await eventually(lambda: _is_refused_its_topics(relay))
            await asyncio.to_thread(_expect_refusal_for_good, early)
            assert made == []
            rights = KafkaGrant(account="early", creates=TOPICS, writes=TOPICS, reads=TOPICS)
            await asyncio.to_thread(prepare_accounts, _root(kafka), [rights], {"early": PASSWORD})
            await eventually(lambda: _all_is_told(process.database))
        finally:
            await relay.close()
            await producer.close()
    assert len(made) == 1


async def test_a_new_password_replaces_the_old_one(kafka: ComposeKafka) -> None:
    environment = kafka.environment("kafka-accounts")
    await asyncio.to_thread(run_kafka_accounts, {**environment, "NOTIFIER_PASSWORD": "another one"})
    new = kafka.cluster("notifier", password="another one")
    await eventually(lambda: _answers(new))
    assert "refuses" in str(await probe_kafka(kafka.cluster("notifier")))
    await asyncio.to_thread(run_kafka_accounts, environment)
    await eventually(lambda: _answers(kafka.cluster("notifier")))


def test_preparing_names_every_variable_that_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "daemons.shared.kafka_admin", "prepare"],
        env={"PATH": os.environ["PATH"], "KAFKA_SECURITY": "sasl_plaintext"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    wanted = (
        *("KAFKA_BROKER", "KAFKA_USERNAME", "KAFKA_PASSWORD"),
        *("BANKING_API_PASSWORD", "USER_API_PASSWORD", "NOTIFIER_PASSWORD"),
    )
    assert [name for name in wanted if f"  {name}: " not in done.stderr] == []


def test_no_password_is_in_what_kafka_logs(kafka: ComposeKafka) -> None:
    log = Path(kafka.replacements["/var/lib/kafka/data"]).with_name("kafka.log").read_text(encoding="utf-8")
    assert "KafkaConfig values" in log
    assert [name for name, secret in SECRETS.items() if secret in log] == []


def _root(kafka: ComposeKafka) -> KafkaCluster:
    """How the super user connects."""
    given = kafka.environment("kafka-accounts")
    root = KafkaAccount(
        security=given["KAFKA_SECURITY"],
        mechanism=given["KAFKA_MECHANISM"],
        username=given["KAFKA_USERNAME"],
        password=given["KAFKA_PASSWORD"],
    )
    return KafkaCluster(given["KAFKA_BROKER"], root)


def _cluster(kafka: ComposeKafka, account: str) -> KafkaCluster:
    """How an account that compose.yaml does not know connects."""
    given = kafka.cluster("notifier").account
    assert given is not None
    return KafkaCluster(kafka.brokers, replace(given, username=account, password=PASSWORD))


def _expect_refusal_for_good(cluster: KafkaCluster) -> None:
    """See that a producer which connects now is of no use later."""
    settings = {**cluster.client_settings(), "enable.idempotence": True}
    producer = Producer(settings, logger=QUIET)

    def wait_for_it() -> None:
        for _ in range(WAIT_SECONDS):
            producer.poll(1)

    with pytest.raises(KafkaException, match="Cluster authorization failed") as refused:
        wait_for_it()
    assert refused.value.args[0].fatal()


async def _is_refused_its_topics(relay: Relay) -> bool:
    return "did not create the topic" in str(relay.probe())


async def _all_is_told(database: Database) -> bool:
    return (await Unpublished(database).waiting()).events == 0


async def _all_there(wanted: set[bytes], received: list[IncomingRecord]) -> bool:
    return wanted <= {record.value for record in received}


async def _answers(cluster: KafkaCluster) -> bool:
    return await probe_kafka(cluster) is None


def _ends(records: Iterable[IncomingRecord]) -> dict[int, int]:
    ends: dict[int, int] = {}
    for record in records:
        ends[record.partition] = max(record.offset, ends.get(record.partition, 0))
    return ends


async def _may_read(cluster: KafkaCluster) -> bool:
    try:
        newest = await read_newest(cluster, [TOPIC], each=1)
    except ReadingRefusedError:
        return False
    return not newest.unread


async def _may_not_read(cluster: KafkaCluster) -> bool:
    return not await _may_read(cluster)


async def _taken(cluster: KafkaCluster) -> bool:
    return await asyncio.to_thread(_delivery, cluster, TOPIC) is None


def _delivery(cluster: KafkaCluster, topic: str) -> str | None:
    """Publish a record; return None when it was taken, else the error's name."""
    errors: list[KafkaError | None] = []

    def report(error: KafkaError | None, _message: Message) -> None:
        errors.append(error)

    producer = Producer({**cluster.client_settings(), "acks": "all"}, logger=QUIET)
    producer.produce(topic, value=b"x", on_delivery=report)
    assert producer.flush(WAIT_SECONDS) == 0
    [error] = errors
    return None if error is None else error.name()


def _faults_of_reading(cluster: KafkaCluster, *, group: str) -> set[str]:
    """Read until the broker says what is wrong with that."""
    settings = {**cluster.client_settings(), "group.id": group, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings, logger=QUIET)
    try:
        consumer.subscribe([TOPIC])
        for _ in range(WAIT_SECONDS):
            message = consumer.poll(1)
            if message is not None:
                error = message.error()
                return {error.name()} if error else set()
    finally:
        consumer.close()
    return set()


def _committed(cluster: KafkaCluster) -> int:
    settings = {**cluster.client_settings(), "group.id": NOTIFIER_GROUP}
    consumer = Consumer(settings, logger=QUIET)
    try:
        partitions = [TopicPartition(topic, number) for topic in TOPICS for number in range(6)]
        found = consumer.committed(partitions, timeout=WAIT_SECONDS)
        return sum(max(partition.offset, 0) for partition in found)
    finally:
        consumer.close()
