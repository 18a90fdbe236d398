"""An idempotent producer whose deliveries can be awaited.

confluent-kafka's own asyncio producer refuses headers and takes seconds for one awaited send, so this one
polls in a thread and hands each batch's outcome to the event loop.
"""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from daemons.contracts.errors import TransientError
from daemons.shared.kafka.connection import LIBRARY_LOG, QUIET_RECONNECTS, KafkaCluster
from daemons.shared.kafka.records import OutgoingRecord

_POLL_SECONDS = 0.1
_FLUSH_SECONDS = 5
_log = structlog.get_logger()


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
        }
        self._producer = Producer(self._settings, logger=LIBRARY_LOG)
        self._closing = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._poller.start()

    async def publish(self, records: Sequence[OutgoingRecord]) -> None:
        """Publish all records and wait for every delivery report.

        Raises:
            TransientError: at least one was not confirmed; publish all of them again, consumers deduplicate.
        """
        if not records:
            return
        batch = _Batch(len(records))
        for record in records:
            await self._enqueue(record, batch)
        failure = await batch.outcome
        if failure is not None:
            if failure.fatal():
                self._replace()
            raise TransientError("unavailable", f"Kafka did not take the events: {failure.name()}.")

    async def _enqueue(self, record: OutgoingRecord, batch: "_Batch") -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    key=record.key.encode(),
                    value=record.value,
                    headers=record.headers,
                    on_delivery=batch.report,
                )
            except BufferError:
                # The local queue is full; deliveries free it.
                await asyncio.sleep(_POLL_SECONDS)
            except KafkaException as error:
                batch.report(error.args[0], None)
                return
            else:
                return

    def _replace(self) -> None:
        _log.warning("kafka producer failed for good, making a new one")
        self._producer.purge()
        self._producer = Producer(self._settings, logger=LIBRARY_LOG)

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_SECONDS)

    async def close(self) -> None:
        """Wait shortly for what is under way, then stop the thread."""
        await asyncio.to_thread(self._producer.flush, _FLUSH_SECONDS)
        self._closing.set()
        await asyncio.to_thread(self._poller.join)


class _Batch:
    """Counts delivery reports in the polling thread and wakes the event loop once, at the last."""

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._missing = size
        self._failure: KafkaError | None = None
        self._lock = threading.Lock()
        self.outcome: asyncio.Future[KafkaError | None] = self._loop.create_future()

    def report(self, error: KafkaError | None, _message: Message | None) -> None:
        with self._lock:
            self._missing -= 1
            self._failure = error or self._failure
            done = self._missing == 0
        if done and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self.outcome.done():
            self.outcome.set_result(self._failure)
