"""How the relay stops, what it waits for and compares before it publishes, and what its gauge shows."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import prometheus_client
import pytest
from confluent_kafka import KafkaError

from daemons.banking_api.ledger import relay
from daemons.banking_api.ledger.relay import Agreement, CommittedGroup, Relay
from daemons.contracts.errors import TransientError
from daemons.shared.kafka.producer import Delivery, UnconfirmedError
from daemons.shared.kafka.records import OutgoingRecord
from tests.support.waiting import eventually, patience

TOPIC = "TransactionCompleted"


class OneServer:
    """A database whose server can be replaced; of its collections only the positions are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run = "first"
        self.client = self
        self.seals: dict[str, int] = {}
        monkeypatch.setattr(relay, "serving", lambda _: ("localhost", self.run, "1"))

    def __getitem__(self, name: str) -> "OneServer":
        assert name == "positions"
        return self

    async def find_one(self, _query: Any) -> dict[str, Any]:
        return {"seals": dict(self.seals)}

    async def update_one(self, _query: Any, update: dict[str, Any], *, upsert: bool) -> None:
        assert upsert
        for name, number in {**update.get("$set", {}), **update.get("$max", {})}.items():
            self.seals[name.removeprefix("seals.")] = number


class Sealed:
    """A feed of groups of one record each."""

    def __init__(self) -> None:
        self.last = 0

    def seal(self) -> None:
        self.last += 1

    def forget(self) -> None:
        return

    async def after(self, number: int) -> list[CommittedGroup]:
        await asyncio.sleep(0)
        return [
            CommittedGroup(n, {TOPIC: [f"record {n}"]}, 1)  # type: ignore[list-item]
            for n in range(number + 1, self.last + 1)
        ]


class Kafka:
    """A producer that keeps what it did; `refuses` so many batches."""

    def __init__(self, steps: list[str], server: OneServer) -> None:
        self._steps = steps
        self._server = server
        self.refuses = 0

    def connect(self) -> None:
        if "connected" not in self._steps:
            self._steps.append("connected")

    async def publish(self, records: Sequence[OutgoingRecord], **_: Any) -> None:
        if self.refuses:
            self.refuses -= 1
            delivery = Delivery(record.topic for record in records)
            for record in records:
                delivery.report_of[record.topic](KafkaError(KafkaError._MSG_TIMED_OUT), None)
            raise UnconfirmedError(delivery)
        self._steps.extend(f"published from the {self._server.run}" for _ in records)


async def encode(records: Sequence[Any]) -> list[OutgoingRecord]:
    await asyncio.sleep(0)
    return [OutgoingRecord(TOPIC, "key", b"", {"ce_id": str(record)}) for record in records]


async def prepared() -> None:
    await asyncio.sleep(0)


class Publishing:
    """A relay between a server, a feed and Kafka, and what happened in which order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(relay, "_COMPARE_AGAIN_SECONDS", 0.01)
        monkeypatch.setattr(relay, "_LOOK_SECONDS", 0.01)
        monkeypatch.setattr(relay, "_FIRST_BACKOFF_SECONDS", 0.01)
        self.steps: list[str] = []
        self.server = OneServer(monkeypatch)
        self.sealed = Sealed()
        self.kafka = Kafka(self.steps, self.server)
        self.answers = {"first": Agreement(), "second": Agreement(may_publish=False)}

    async def compare(self, confirm: Callable[[], Awaitable[object]]) -> Agreement:
        await confirm()
        self.steps.append(f"compared with the {self.server.run}")
        return self.answers[self.server.run]

    @asynccontextmanager
    async def running(self, prepare: Callable[[], Awaitable[None]] = prepared) -> AsyncIterator[Relay]:
        publishing = Relay(
            self.server,  # type: ignore[arg-type]
            self.sealed,  # type: ignore[arg-type]
            self.kafka,  # type: ignore[arg-type]
            encode,
            topics=[TOPIC],
            prepare=prepare,
            compare=self.compare,
        )
        await publishing.start()
        try:
            yield publishing
        finally:
            await publishing.close()

    async def did(self, step: str, times: int = 1) -> None:
        async def done() -> bool:
            await asyncio.sleep(0)
            return self.steps.count(step) >= times

        await eventually(done)


def unconfirmed() -> float | None:
    return prometheus_client.REGISTRY.get_sample_value("bankctl_relay_unconfirmed_events", {"topic": TOPIC})


async def test_nobody_waits_for_a_kafka_that_is_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a batch under way is waited for: it would be published twice."""
    asked = asyncio.Event()

    async def never() -> None:
        asked.set()
        await asyncio.Event().wait()

    publishing = Publishing(monkeypatch)
    monkeypatch.setattr(relay, "CLOSE_SECONDS", 3600)
    async with patience("the relay to stop"), publishing.running(never):
        await asked.wait()
    assert publishing.steps.count("connected") == 0


async def test_nothing_is_published_before_there_are_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    publishing = Publishing(monkeypatch)

    async def prepare() -> None:
        await asyncio.sleep(0)
        if publishing.steps.count("looked for topics") < 3:
            publishing.steps.append("looked for topics")
            raise TransientError("unavailable", "by the test")

    publishing.sealed.seal()
    async with publishing.running(prepare):
        await publishing.did("published from the first")
    # A producer that connects before it has its rights fails for good.
    told = [step for step in publishing.steps if not step.startswith("compared")]
    assert told == [*["looked for topics"] * 3, "connected", "published from the first"]


async def test_nothing_is_published_from_a_server_that_was_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that was started anew, or another member, may serve an older copy."""
    publishing = Publishing(monkeypatch)
    publishing.sealed.seal()
    async with publishing.running() as running:
        await publishing.did("published from the first")
        steps = publishing.steps
        assert steps.index("compared with the first") < steps.index("published from the first")
        publishing.server.run = "second"
        publishing.sealed.seal()
        running.wake()
        await publishing.did("compared with the second", 3)
        assert "published from the second" not in steps
        publishing.answers["second"] = Agreement()
        await publishing.did("published from the second")
    assert publishing.server.seals == {TOPIC: 2}


async def test_the_gauge_shows_what_kafka_has_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    publishing = Publishing(monkeypatch)
    publishing.kafka.refuses = 1
    monkeypatch.setattr(relay, "_FIRST_BACKOFF_SECONDS", 3600)
    publishing.sealed.seal()
    publishing.sealed.seal()

    async def refused() -> bool:
        await asyncio.sleep(0)
        return unconfirmed() == 2

    async with publishing.running() as running:
        await eventually(refused)
        assert running.positions() == {TOPIC: 0}
        assert running.probe() is not None
    monkeypatch.setattr(relay, "_FIRST_BACKOFF_SECONDS", 0.01)
    async with publishing.running() as running:
        await publishing.did("published from the first", 2)
    assert unconfirmed() == 0
    assert publishing.server.seals == {TOPIC: 2}
