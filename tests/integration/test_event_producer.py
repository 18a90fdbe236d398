"""What the producer reports as published is in Kafka's log, also where a topic was just made anew."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not by __all__
    AdminClient,
    OffsetSpec,
)

from bankctl.local import ports
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer, UnconfirmedError
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.kafka.topics import PARTITIONS, ensure_topics, probe_kafka
from tests.support.kafka import Listener, running_kafka
from tests.support.waiting import eventually

TOPIC = "TransactionCompleted"
KEY = "4670508035"
_PRODUCE = 0
"""How Kafka's protocol names the request."""


class Gate:
    """Stands between a producer and the broker, and can hold requests back that carry records.

    Once it is shut, one such request goes through; those behind it wait, and so does every answer.
    """

    def __init__(self, target_port: int) -> None:
        self.passed = 0
        self.held = 0
        self._target_port = target_port
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._one_passed = False

    def shut(self) -> None:
        self._is_open.clear()
        self._one_passed = False

    def open(self) -> None:
        self._is_open.set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._requests(reader, broker_writer))
                pumps.create_task(self._answers(broker_reader, writer))

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = await reader.readexactly(4)
                request = await reader.readexactly(struct.unpack(">i", size)[0])
                if struct.unpack(">h", request[:2])[0] == _PRODUCE:
                    if self._one_passed and not self._is_open.is_set():
                        self.held += 1
                        await self._is_open.wait()
                    self._one_passed = True
                    self.passed += 1
                writer.write(size + request)
                await writer.drain()
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self._one_passed:
                    await self._is_open.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def gated_kafka(folder: Path) -> AsyncIterator[tuple[str, str, Gate]]:
    """A broker: its own address, the one that leads through the gate, and the gate."""
    behind, before = ports.pick(2)
    gate = Gate(behind)
    server = await asyncio.start_server(gate.accept, "127.0.0.1", before)
    listener = Listener("GATED", "PLAINTEXT", port=behind, advertised_port=before)
    running = running_kafka(folder, listener=listener)
    address = await asyncio.to_thread(running.__enter__)
    try:
        yield address, f"127.0.0.1:{before}", gate
    finally:
        gate.open()
        server.close()
        await asyncio.to_thread(running.__exit__, None, None, None)


def values_in_log(broker: str) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "tests", "enable.partition.eof": True, "log_level": 0}
    )
    try:
        consumer.assign([TopicPartition(TOPIC, number, OFFSET_BEGINNING) for number in range(PARTITIONS)])
        found, ends = [], 0
        while ends < PARTITIONS:
            message = consumer.poll(30)
            assert message is not None
            if message.error() is None:
                found.append(message.value() or b"")
            else:
                ends += 1
    finally:
        consumer.close()
    return found


def _serves(broker: str) -> bool:
    """Whether every partition of the topic has a leader that answers."""
    admin = AdminClient({"bootstrap.servers": broker, "log_level": 0})
    asked = {TopicPartition(TOPIC, number): OffsetSpec.latest() for number in range(PARTITIONS)}  # type: ignore[no-untyped-call]
    try:
        return all(future.result().offset == 0 for future in admin.list_offsets(asked).values())
    except KafkaException:
        return False


@pytest.mark.campaign
async def test_what_is_reported_as_published_is_in_the_log_of_a_topic_made_anew(tmp_path: Path) -> None:
    """The first batch finds no topic; the second, under way behind it, finds the new one."""
    first, second = (OutgoingRecord(TOPIC, KEY, value, {}) for value in (b"first", b"second"))
    async with gated_kafka(tmp_path) as (direct, through_gate, gate):
        admin = AdminClient({"bootstrap.servers": direct})
        await ensure_topics(KafkaCluster(direct), [TOPIC])
        producer = EventProducer(KafkaCluster(through_gate), client_id="tests")
        try:
            await producer.publish([OutgoingRecord(TOPIC, KEY, b"before", {})])
            await asyncio.to_thread(admin.delete_topics([TOPIC])[TOPIC].result)
            passed = gate.passed
            gate.shut()
            publishing = [asyncio.create_task(producer.publish([first]))]

            async def one_is_on_its_way() -> bool:
                return gate.passed == passed + 1

            await eventually(one_is_on_its_way)
            publishing.append(asyncio.create_task(producer.publish([second])))

            async def the_other_waits() -> bool:
                return gate.held == 1

            await eventually(the_other_waits)
            await ensure_topics(KafkaCluster(direct), [TOPIC])

            async def is_there() -> bool:
                return await asyncio.to_thread(_serves, direct)

            await eventually(is_there)
            gate.open()
            outcomes = await asyncio.gather(*publishing, return_exceptions=True)
            reported = {
                record.value
                for record, outcome in zip((first, second), outcomes, strict=True)
                if outcome is None
            }
            assert reported <= set(await asyncio.to_thread(values_in_log, direct))
            for record, outcome in zip((first, second), outcomes, strict=True):
                if isinstance(outcome, UnconfirmedError):
                    await producer.publish([record])
            assert {b"first", b"second"} <= set(await asyncio.to_thread(values_in_log, direct))
        finally:
            gate.open()
            await producer.close()
        assert await probe_kafka(KafkaCluster(direct)) is None
