"""Compares what a consumer group has taken with what the log holds: one that stands still says nothing."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not by __all__
    AdminClient,
    OffsetSpec,
)
from prometheus_client import Gauge

from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.refusals import Refusals

STILL_SECONDS = 15.0
"""Longer than a member's session lasts and than any pause between attempts: then nobody works on it."""
_REQUEST_SECONDS = 3.0
_waiting = Gauge(
    "bankctl_consumer_waiting_records", "Records in the log that the group has not taken", ["topic"]
)

Place = tuple[str, int]
"""A topic and one of its partitions."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found. `topics` are the ids of existing topics: a recreated topic has a new id."""

    topics: Mapping[str, str] = field(default_factory=dict)
    reason: str | None = None
    looked: bool = True
    """Whether Kafka answered; while a broker or a topic comes up it may not, for a moment."""
    waiting: Mapping[str, int] | None = None
    """How many records of each topic the group has not taken; None if that is not known."""


@dataclass(frozen=True, slots=True)
class _Partition:
    begin: int
    end: int
    committed: int | None

    @property
    def waiting(self) -> int:
        return self.end - max(self.begin, self.committed or 0)


class Consumption:
    """Looks at one group's topics; `look` blocks and is for a thread."""

    def __init__(self, cluster: KafkaCluster, *, group: str, topics: Sequence[str]) -> None:
        self._cluster = cluster
        self._group = group
        self._topics = list(topics)
        self._refusals = Refusals(cluster)
        self._admin: AdminClient | None = None
        self._lock = threading.Lock()
        self._moved: dict[Place, tuple[int | None, float]] = {}

    def look(self) -> Finding:
        """Return which topics there are, and what keeps the group from what they hold."""
        with self._lock:
            return self._look_with(self._client())

    def _client(self) -> AdminClient:
        if self._admin is None:
            settings: dict[str, Any] = {
                **self._cluster.client_settings(),
                "log_level": 0,
                "error_cb": self._refusals.note,
            }
            self._admin = AdminClient(settings)
        return self._admin

    def _look_with(self, admin: AdminClient) -> Finding:
        try:
            return self._look(admin)
        except KafkaException as error:
            # A client that outlives the loss of Kafka's data may time out for ever (librdkafka 2.16).
            self._admin = None
            return Finding(reason=self._refusals.sentence(admin, error.args[0]), looked=False)

    def _look(self, admin: AdminClient) -> Finding:
        described = admin.describe_topics(TopicCollection(self._topics), request_timeout=_REQUEST_SECONDS)
        there = {topic: found for topic, future in described.items() if (found := _if_there(future))}
        ids = {topic: str(found.topic_id) for topic, found in there.items()}
        missing = sorted(set(self._topics) - set(ids))
        if missing:
            return Finding(ids, f"Kafka has no topic {', '.join(missing)}")
        places = [(topic, partition.id) for topic, found in there.items() for partition in found.partitions]
        partitions = self._partitions(admin, places)
        waiting = dict.fromkeys(ids, 0)
        for (topic, _), found in partitions.items():
            waiting[topic] += max(0, found.waiting)
        for topic, records in waiting.items():
            _waiting.labels(topic).set(records)
        reason = "; ".join(self._faults(partitions, self._assigned(admin))) or None
        return Finding(ids, reason, waiting=waiting)

    def _partitions(self, admin: AdminClient, places: Sequence[Place]) -> dict[Place, _Partition]:
        begins = _offsets(admin, places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        ends = _offsets(admin, places, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        committed = self._committed(places)
        return {place: _Partition(begins[place], ends[place], committed.get(place)) for place in places}

    def _committed(self, places: Sequence[Place]) -> dict[Place, int]:
        # The administrator's own call for this ends the process where the group has committed nothing yet
        # (librdkafka 2.16). This client never joins the group.
        settings: dict[str, Any] = {
            **self._cluster.client_settings(),
            "group.id": self._group,
            "log_level": 0,
        }
        with closing(Consumer(settings)) as reader:
            asked = [TopicPartition(*place) for place in places]
            found = reader.committed(asked, timeout=_REQUEST_SECONDS)
        return {(it.topic, it.partition): it.offset for it in found if it.error is None and it.offset >= 0}

    def _assigned(self, admin: AdminClient) -> set[Place]:
        """What the members of the group, this and others, have been given to consume."""
        [future] = admin.describe_consumer_groups([self._group], request_timeout=_REQUEST_SECONDS).values()
        assignments = [member.assignment for member in future.result().members if member.assignment]
        return {(found.topic, found.partition) for given in assignments for found in given.topic_partitions}

    def _faults(self, partitions: Mapping[Place, _Partition], assigned: set[Place]) -> Iterator[str]:
        now = time.monotonic()
        for place, found in partitions.items():
            name = f"{place[0]}[{place[1]}]"
            committed, since = self._moved.get(place, (None, 0.0))
            if not since or found.committed != committed or found.waiting <= 0:
                self._moved[place] = found.committed, now
                since = now
            if found.committed is not None and found.committed > found.end:
                yield f"{name} ends at {found.end}, before what was taken of it ({found.committed})"
            elif found.waiting > 0 and now - since > STILL_SECONDS:
                who = "" if place in assigned else ", and nobody is to consume it"
                yield f"{name}: {found.waiting} wait and none was taken for {now - since:.0f} s{who}"


def _offsets(admin: AdminClient, places: Sequence[Place], which: OffsetSpec) -> dict[Place, int]:
    asked = {TopicPartition(*place): which for place in places}
    found = admin.list_offsets(asked, request_timeout=_REQUEST_SECONDS)
    return {(place.topic, place.partition): future.result().offset for place, future in found.items()}


def _if_there(future: Future[Any]) -> Any:
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise
