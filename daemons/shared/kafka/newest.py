"""Reads the newest records of topics, without a consumer group and without leaving a trace."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.connection import LIBRARY_LOG, KafkaCluster
from daemons.shared.kafka.consumer import record_of
from daemons.shared.kafka.records import IncomingRecord

_METADATA_SECONDS = 5.0
_READ_SECONDS = 5.0
"""The bound on one look: a partition without a leader must not hold up what the others say."""
_AT_ONCE = 1000
_FROM_THE_END = -2000
"""librdkafka's RD_KAFKA_OFFSET_TAIL_BASE, which the Python client passes on: so many before the end."""
_REFUSALS = {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}

Place = tuple[str, int]


class ReadingRefusedError(Exception):
    """The account may not read a topic."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest records; of `unread` partitions, not all of them came in time."""

    records: Sequence[IncomingRecord]
    unread: Sequence[Place]


async def read_newest(cluster: KafkaCluster, topics: Sequence[str], *, each: int) -> Newest:
    """Read the newest `each` records of each partition; topics that are not there have none.

    Raises:
        TransientError: Kafka does not answer.
        ReadingRefusedError: the account may not read them.
    """
    return await asyncio.to_thread(_read, cluster, topics, each)


def _read(cluster: KafkaCluster, topics: Sequence[str], each: int) -> Newest:
    settings: dict[str, Any] = {
        **cluster.client_settings(),
        # The library wants a name; nothing is ever asked of such a group, and no account needs a right to it.
        "group.id": "newest-records",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 50,
        "log_level": 0,
    }
    with closing(Consumer(settings, logger=LIBRARY_LOG)) as consumer:
        try:
            there = consumer.list_topics(timeout=_METADATA_SECONDS).topics
        except KafkaException as error:
            raise TransientError("unavailable", f"Kafka does not answer: {error.args[0].name()}.") from None
        places = {
            (topic, partition) for topic in topics if topic in there for partition in there[topic].partitions
        }
        consumer.assign([TopicPartition(*place, _FROM_THE_END - each) for place in places])
        return _read_to_the_ends(consumer, places)


def _read_to_the_ends(consumer: Consumer, unread: set[Place]) -> Newest:
    records: list[IncomingRecord] = []
    deadline = time.monotonic() + _READ_SECONDS
    while unread and (left := deadline - time.monotonic()) > 0:
        # One at first: asked for many, the client waits until so many have come or the time is over.
        messages = consumer.consume(1, timeout=left)
        messages += consumer.consume(_AT_ONCE, timeout=0)
        for message in messages:
            if message.error() is None:
                records.append(record_of(message))
            else:
                _note_end(message, unread)
    return Newest(records, sorted(unread))


def _note_end(message: Message, unread: set[Place]) -> None:
    error = message.error()
    assert error is not None  # noqa: S101 - the caller has looked
    if error.code() in _REFUSALS:
        raise ReadingRefusedError(error.name())
    topic, partition = message.topic(), message.partition()
    if error.code() == KafkaError._PARTITION_EOF and topic is not None and partition is not None:  # noqa: SLF001 - public
        unread.discard((topic, partition))
