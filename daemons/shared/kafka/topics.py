"""Topics are created on purpose, by the daemons that use them; the broker creates none by itself."""

import asyncio
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.refusals import Refusals

PARTITIONS = 6
_TIMEOUT_SECONDS = 10
_PROBE_SECONDS = 2


async def ensure_topics(cluster: KafkaCluster, topics: Sequence[str]) -> None:
    """Create the topics that are missing; the broker's defaults say how often they are replicated.

    Raises:
        TransientError: Kafka does not answer, or the account may not create what is missing.
    """
    await asyncio.to_thread(_ensure, cluster, topics)


async def ensure_topics_if_reached(cluster: KafkaCluster, topics: Sequence[str]) -> None:
    """Create the topics that are missing, after a short look whether Kafka is there.

    While it is away this fails sooner, so that a daemon that is stopped meanwhile need not wait.

    Raises:
        TransientError: as `ensure_topics`.
    """
    reason = await probe_kafka(cluster)
    if reason is not None:
        raise TransientError("unavailable", reason)
    await ensure_topics(cluster, topics)


async def probe_kafka(cluster: KafkaCluster) -> str | None:
    """Return None when the broker answers, else the reason."""
    return await asyncio.to_thread(_probe, cluster)


def _ensure(cluster: KafkaCluster, topics: Sequence[str]) -> None:
    refusals = Refusals(cluster)
    admin = _admin(cluster, refusals)
    try:
        # Looking first asks for no right to create where somebody else has created them.
        there = admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
    except KafkaException as error:
        raise TransientError("unavailable", f"{refusals.sentence(admin, error.args[0])}.") from None
    missing = [NewTopic(topic, num_partitions=PARTITIONS) for topic in topics if topic not in there]
    if not missing:
        return
    for topic, future in admin.create_topics(missing, request_timeout=_TIMEOUT_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                fault = f"Kafka did not create the topic {topic}: {error.args[0].name()}."
                raise TransientError("unavailable", fault) from None


def _probe(cluster: KafkaCluster) -> str | None:
    refusals = Refusals(cluster)
    admin = _admin(cluster, refusals)
    try:
        admin.list_topics(timeout=_PROBE_SECONDS)
    except KafkaException as error:
        return refusals.sentence(admin, error.args[0])
    return None


def _admin(cluster: KafkaCluster, refusals: Refusals) -> AdminClient:
    # Its exceptions say what is wrong; the log would say it once per attempt to connect.
    settings: dict[str, Any] = {
        **cluster.client_settings(),
        "socket.timeout.ms": 5000,
        "log_level": 0,
        "error_cb": refusals.note,
    }
    return AdminClient(settings)
