import psutil

from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.consumer import EventConsumer
from daemons.shared.kafka.records import IncomingRecord
from tests.support.bank import CLOSED_PORT


async def test_a_consumer_that_was_never_started_leaves_no_client_behind() -> None:
    before = threads()
    consumer = EventConsumer(KafkaCluster(CLOSED_PORT), group="none", topics=["none"], effect=no_effect)

    await consumer.close()

    assert threads() <= before


async def no_effect(records: list[IncomingRecord]) -> None:
    """Nothing comes, so there is nothing to do."""


def threads() -> set[int]:
    """The ids of all threads of this process: a client of Kafka has some of its own."""
    return {thread.id for thread in psutil.Process().threads()}
