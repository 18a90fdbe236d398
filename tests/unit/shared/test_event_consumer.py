"""A consumer's client of Kafka is there only while the consumer runs."""

import asyncio
import subprocess
import sys

import psutil

from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.consumer import EventConsumer
from daemons.shared.kafka.records import IncomingRecord
from tests.support.bank import CLOSED_PORT


def test_a_consumer_that_was_never_started_leaves_no_client_behind() -> None:
    # In a process of its own: others of this run may have begun threads at the same moment.
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = done.stdout.split()
    assert int(after) <= int(before)


async def count_around() -> tuple[int, int]:
    """How many threads there are before a consumer is made, and after it is closed and not yet forgotten."""
    before = threads()
    consumer = EventConsumer(KafkaCluster(CLOSED_PORT), group="none", topics=["none"], effect=no_effect)
    await consumer.close()
    return before, threads()


async def no_effect(records: list[IncomingRecord]) -> None:
    """Nothing comes, so there is nothing to do."""


def threads() -> int:
    """How many threads this process has: a client of Kafka has some of its own."""
    return psutil.Process().num_threads()


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*asyncio.run(count_around())))
