"""`events tail --broker` on a real Kafka with accounts: what it shows, from where on, and who is refused."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from daemons.shared.ids import new_id
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.kafka.topics import ensure_topics
from tests.support.compose_kafka import ComposeKafka, running_compose_kafka
from tests.support.events import ANN, OLGA, completed, failed, funded, ids_of, publishable
from tests.support.kafka import running_kafka, tls_listener
from tests.support.waiting import PATIENCE_SECONDS
from tests.unit.cli.bank_server import issue_certificate

ACCOUNT = "4670508035"
PASSWORD = "the auditor's password at Kafka"


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeKafka]:
    with running_compose_kafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


def _tail(kafka: ComposeKafka, home: Path, *arguments: str, **variables: str) -> list[str]:
    account = kafka.cluster("notifier").account
    assert account is not None
    environment = {
        **os.environ,
        "BANKCTL_HOME": str(home),
        "KAFKA_PASSWORD": account.password,
        "KAFKA_MECHANISM": account.mechanism,
        **variables,
    }
    command = [sys.executable, "-m", "bankctl.main", "events", "tail", "--broker", kafka.brokers]
    command += ["--broker-user", account.username, "-o", "jsonl", *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    return [str(done.returncode), done.stdout, done.stderr]


async def _publish(kafka: ComposeKafka, records: list[OutgoingRecord]) -> None:
    producer = EventProducer(kafka.cluster("banking_api"), client_id="tests")
    try:
        await producer.publish(records)
    finally:
        await producer.close()


def _mixture() -> list[OutgoingRecord]:
    ids = [new_id(), new_id(), new_id()]
    made = [completed(ids[0]), failed(ids[1], receiver=ACCOUNT), funded(ids[2])]
    return [publishable(event_id, data) for event_id, data in zip(ids, made, strict=True)]


async def test_all_topics_are_read_from_the_start_and_each_event_is_shown_once(
    kafka: ComposeKafka, tmp_path: Path
) -> None:
    records = _mixture()
    poison = OutgoingRecord("TransactionFailed", "key", b"no JSON", {})
    await _publish(kafka, [*records, poison, *records])
    status, out, err = await asyncio.to_thread(
        _tail, kafka, tmp_path, "--since-start", "--count", "3", "--wait", "20"
    )
    assert status == "0", err
    shown = [json.loads(line) for line in out.splitlines()]
    assert {UUID(event["id"]) for event in shown} == set(ids_of(records))
    assert all({"type", "time", "data", "partition", "offset"} <= event.keys() for event in shown)
    assert "7 records behind" in err
    filters = (
        ["--failures", "--since", "1h", "--min-amount", "12.34", "--account", ACCOUNT],
        ["--user", OLGA.user_id, "--since-start"],
        ["--user", ANN.user_id, "--type", "TransactionCompleted", "--since-start"],
    )
    for arguments, wanted in zip(filters, (records[1], records[2], records[0]), strict=True):
        status, out, err = await asyncio.to_thread(_tail, kafka, tmp_path, *arguments, "--count", "1")
        assert status == "0", err
        assert json.loads(out)["id"] == wanted.event_id


async def test_who_is_refused_is_told(kafka: ComposeKafka, tmp_path: Path) -> None:
    arguments = ["--since-start", "--count", "1"]
    for changed in ({"KAFKA_PASSWORD": "a wrong one"}, {"KAFKA_MECHANISM": "PLAIN"}):
        status, out, err = await asyncio.to_thread(_tail, kafka, tmp_path, *arguments, **changed)
        problem = json.loads(err[err.index("{") :])
        assert (status, out, problem["code"]) == ("5", "", "broker_refused")
        assert "KAFKA_PASSWORD" in problem["hint"]


async def test_a_broker_is_read_by_tls_and_its_certificate_is_checked(tmp_path: Path) -> None:
    certificate, key = issue_certificate(tmp_path)
    tls = tls_listener(tmp_path, certificate, key, user="auditor", password=PASSWORD)
    home = tmp_path / "home"
    home.mkdir()
    with running_kafka(tmp_path / "kafka", listener=tls) as address:
        await _read_by_tls(KafkaCluster(address), tls.address, certificate, home)


async def _read_by_tls(direct: KafkaCluster, address: str, certificate: Path, home: Path) -> None:
    records = _mixture()
    await ensure_topics(direct, sorted({record.topic for record in records}))
    producer = EventProducer(direct, client_id="tests")
    try:
        await producer.publish(records)
    finally:
        await producer.close()
    environment = {
        **os.environ,
        "BANKCTL_HOME": str(home),
        "KAFKA_PASSWORD": PASSWORD,
        "KAFKA_MECHANISM": "PLAIN",
    }
    command = [sys.executable, "-m", "bankctl.main", "events", "tail", "--broker", address]
    command += ["--broker-user", "auditor", "-o", "jsonl", "--since-start", "--count", "3", "--wait", "20"]

    def tail(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    done = await asyncio.to_thread(tail, "--broker-ca", str(certificate))
    assert done.returncode == 0, done.stderr
    assert {UUID(json.loads(line)["id"]) for line in done.stdout.splitlines()} == set(ids_of(records))
    other, _ = issue_certificate(home)
    # One that somebody else has signed, and one that no authority of this machine has.
    for arguments in (["--broker-ca", str(other)], ["--broker-tls"]):
        refused = await asyncio.to_thread(tail, *arguments)
        problem = json.loads(refused.stderr[refused.stderr.index("{") :])
        assert (refused.returncode, refused.stdout, problem["code"]) == (5, "", "broker_refused")
        assert "certificate" in problem["detail"]


def test_a_broker_that_is_away_is_given_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bankctl.main", "events", "tail", "--broker", "127.0.0.1:9"]
    environment = {**os.environ, "BANKCTL_HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, "--wait", "1", "-o", "json"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, json.loads(done.stderr)["code"]) == (8, "broker_unreachable")
