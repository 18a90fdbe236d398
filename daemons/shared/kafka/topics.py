"""Topics are created on purpose, by the daemons that use them; the broker creates none by itself."""

import asyncio
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from daemons.contracts.errors import TransientError

PARTITIONS = 6
_TIMEOUT_SECONDS = 10


async def ensure_topics(brokers: str, topics: Sequence[str]) -> None:
    """Create the topics that are missing; the broker's defaults say how often they are replicated.

    Raises:
        TransientError: Kafka does not answer.
    """
    await asyncio.to_thread(_ensure, brokers, topics)


async def probe_kafka(brokers: str) -> str | None:
    """Return None when the broker answers, else the reason."""
    return await asyncio.to_thread(_probe, brokers)


def _ensure(brokers: str, topics: Sequence[str]) -> None:
    admin = _admin(brokers)
    missing = [NewTopic(topic, num_partitions=PARTITIONS) for topic in topics]
    for future in admin.create_topics(missing, request_timeout=_TIMEOUT_SECONDS).values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise TransientError("unavailable", f"Kafka did not create the topics: {error}") from None


def _probe(brokers: str) -> str | None:
    admin = _admin(brokers)
    try:
        admin.list_topics(timeout=2)
    except KafkaException as error:
        return f"Kafka does not answer: {error.args[0].name()}"
    return None


def _admin(brokers: str) -> AdminClient:
    # Its exceptions say what is wrong; the log would say it once per attempt to connect.
    return AdminClient({"bootstrap.servers": brokers, "socket.timeout.ms": 5000, "log_level": 0})
