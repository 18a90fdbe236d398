"""An idempotent producer whose deliveries can be awaited.

confluent-kafka's own asyncio producer refuses headers and takes seconds for one awaited send, so this one
polls in a thread and hands each batch's outcome to the event loop.

A record counts as confirmed only with the offset that Kafka gave it. The library also reports success,
without an offset, of a batch that was refused while the next one, already under way, was accepted: it
concludes that the broker has both. A topic just created again accepts the next one without the first,
since it does not know the producer yet.
"""

import asyncio
import threading
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.connection import LIBRARY_LOG, METADATA_AGE, QUIET_RECONNECTS, KafkaCluster
from daemons.shared.kafka.records import OutgoingRecord

_POLL_SECONDS = 0.1
_FLUSH_SECONDS = 5
_log = structlog.get_logger()


class UnconfirmedError(TransientError):
    """Not every record was confirmed; `delivery` says for which topics all were."""

    def __init__(self, delivery: "Delivery") -> None:
        super().__init__("unavailable", delivery.sentence())
        self.delivery = delivery


class EventProducer:
    """Publishes batches of records in order; one per process, started and closed with it."""

    def __init__(self, cluster: KafkaCluster, *, client_id: str) -> None:
        self._settings: dict[str, Any] = {
            **cluster.client_settings(),
            "client.id": client_id,
            "enable.idempotence": True,
            "acks": "all",
            # A batch is given at once, so there is nothing to wait for.
            "linger.ms": 0,
            # Shorter time-outs report as lost what is in the log all the same, and the retry doubles it.
            "message.timeout.ms": 300_000,
            "compression.type": "lz4",
            **QUIET_RECONNECTS,
            **METADATA_AGE,
        }
        self._producer: Producer | None = None
        self._failed_for_good = False
        self._closing = threading.Event()
        self._poller: threading.Thread | None = None

    def connect(self) -> Producer:
        """Connect, if this is not done yet, so that the first batch need not wait for it.

        Not before the account has its rights: refused one of them, the library's producer fails for good.
        """
        if self._producer is None:
            self._producer = Producer(self._settings, logger=LIBRARY_LOG)
            self._poller = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
            self._poller.start()
        return self._producer

    async def publish(
        self, records: Sequence[OutgoingRecord], *, patience_seconds: float | None = None
    ) -> None:
        """Publish all records and wait for every delivery report, at most as long as patience lasts.

        Raises:
            UnconfirmedError: at least one was not confirmed. What failed may be published again, consumers
                deduplicate; what is still under way goes on.
        """
        if not records:
            return
        producer = self.connect()
        if self._failed_for_good:
            producer = await self._replace(producer)
        delivery = Delivery(record.topic for record in records)
        for record in records:
            await _enqueue(producer, record, delivery)
        await asyncio.wait([delivery.settled], timeout=patience_seconds)
        if not delivery.is_confirmed():
            self._failed_for_good = any(map(_is_fatal, delivery.failures.values()))
            raise UnconfirmedError(delivery)

    async def _replace(self, failed: Producer) -> Producer:
        _log.warning("kafka producer failed for good, making a new one")
        self._producer = new = Producer(self._settings, logger=LIBRARY_LOG)
        self._failed_for_good = False
        failed.purge()
        # What was under way is reported as failed, to those who still wait for it.
        await asyncio.to_thread(failed.flush, _FLUSH_SECONDS)
        return new

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self.connect().poll(_POLL_SECONDS)
            except KafkaException as error:
                # It has failed for good: the next batch gets another one, whose reports must be taken too.
                _log.warning("kafka producer", reason=str(error.args[0]))
                self._closing.wait(_POLL_SECONDS)

    async def close(self) -> None:
        """Wait shortly for what is under way, then stop the thread."""
        if self._producer is None or self._poller is None:
            return
        await asyncio.to_thread(self._producer.flush, _FLUSH_SECONDS)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)


async def _enqueue(producer: Producer, record: OutgoingRecord, delivery: "Delivery") -> None:
    while True:
        try:
            producer.produce(
                record.topic,
                key=record.key.encode(),
                value=record.value,
                headers=record.headers,
                on_delivery=delivery.report_of[record.topic],
            )
        except BufferError:
            # The local queue is full; deliveries free it.
            await asyncio.sleep(_POLL_SECONDS)
        except KafkaException as error:
            delivery.report_of[record.topic](error.args[0], None)
            return
        else:
            return


def _is_fatal(error: KafkaError) -> bool:
    return error.fatal() or error.code() == KafkaError._FATAL  # noqa: SLF001 - the library's public name


class Delivery:
    """Counts delivery reports in the polling thread, by topic, and wakes the event loop once, at the last."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._missing: dict[str, int] = {}
        for topic in topics:
            self._missing[topic] = self._missing.get(topic, 0) + 1
        self._all_missing = sum(self._missing.values())
        self.failures: dict[str, KafkaError] = {}
        """Of each topic the last error; not all of its records were refused then."""
        self.report_of = {topic: partial(self._report, topic) for topic in self._missing}
        self.settled: asyncio.Future[None] = self._loop.create_future()

    def _report(self, topic: str, error: KafkaError | None, message: Message | None) -> None:
        if error is None and (message is None or message.offset() is None):
            error = KafkaError(KafkaError._NO_OFFSET)  # noqa: SLF001 - the library's public name
        with self._lock:
            self._missing[topic] -= 1
            self._all_missing -= 1
            if error is not None:
                self.failures[topic] = error
            done = self._all_missing == 0
        if done and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def is_confirmed(self, topic: str | None = None) -> bool:
        """Whether every record was confirmed, of the topic or of all."""
        if topic is None:
            return self._all_missing == 0 and not self.failures
        return self._missing[topic] == 0 and topic not in self.failures

    def under_way(self, topic: str) -> int:
        """How many records of the topic are neither confirmed nor failed."""
        return self._missing[topic]

    def sentence(self) -> str:
        """What keeps the topics whose records were not confirmed."""
        reasons = [f"{topic}: {error.name()}" for topic, error in sorted(self.failures.items())]
        reasons += [
            f"{topic}: {count} not confirmed yet" for topic, count in sorted(self._missing.items()) if count
        ]
        return f"Kafka did not take the events: {'; '.join(reasons)}."
