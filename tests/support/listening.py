"""A consumer of its own, which remembers every event that a Kafka has."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

from confluent_kafka import Consumer

from daemons.contracts.names import EventType
from tests.support.waiting import patience


class Listener:
    """Reads every topic from the start and remembers what came, by event id."""

    def __init__(self, broker: str, topics: list[str]) -> None:
        settings = {
            "bootstrap.servers": broker,
            "group.id": f"listener-{uuid4()}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(settings)
        self._consumer.subscribe(topics)
        self.came: dict[str, list[tuple[str, str, dict[str, object]]]] = {}

    async def until(self, enough: Callable[[], bool]) -> None:
        async with patience("events", found=lambda: f"{len(self.came)} came"):
            while not enough():
                await asyncio.to_thread(self._read)

    def _read(self) -> None:
        for message in self._consumer.consume(500, timeout=0.2):
            if message.error() is None:
                headers = dict(message.headers() or [])
                key = (message.key() or b"").decode()
                data = json.loads(message.value() or b"{}")
                event_id = headers["ce_id"].decode()
                self.came.setdefault(event_id, []).append((message.topic() or "", key, data))

    def close(self) -> None:
        self._consumer.close()


@asynccontextmanager
async def listening(broker: str, topics: list[str] | None = None) -> AsyncIterator[Listener]:
    listener = Listener(broker, topics or [event.value for event in EventType])
    try:
        yield listener
    finally:
        await asyncio.to_thread(listener.close)
