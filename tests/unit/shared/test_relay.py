"""How the relay stops, and what it compares before it publishes."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from daemons.contracts.errors import TransientError
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.outbox import relay
from daemons.shared.outbox.relay import Agreement, Relay
from daemons.shared.outbox.store import OutboxEntry
from tests.support.waiting import eventually, patience


class Leases:
    """An outbox of which only the lease is asked for."""

    def __init__(self) -> None:
        self.released: list[Any] = []

    async def release_lease(self, holder: Any) -> None:
        self.released.append(holder)


async def test_nobody_waits_for_a_kafka_that_is_away_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a batch under way is waited for: it would be published twice."""
    asked, leases = asyncio.Event(), Leases()

    async def prepare() -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(relay, "CLOSE_SECONDS", 3600)
    stopping = Relay(leases, Mock(), Mock(), prepare=prepare)  # type: ignore[arg-type]
    stopping.start()
    await asked.wait()
    async with patience("the relay to stop"):
        await stopping.close()
    assert len(leases.released) == 1


class OneServer:
    """An outbox whose database server can be replaced, under a relay that holds the lease."""

    def __init__(self) -> None:
        self.run = "first"
        self.waiting: list[OutboxEntry] = []

    def server(self) -> Any:
        return ("localhost", self.run, "1")

    async def hold_lease(self, _holder: Any, *, seconds: float) -> bool:
        return seconds > 0

    async def release_lease(self, _holder: Any) -> None:
        return

    async def oldest(self, **_: Any) -> list[OutboxEntry]:
        return list(self.waiting)

    async def remove(self, entries: list[OutboxEntry]) -> None:
        self.waiting = [entry for entry in self.waiting if entry not in entries]

    def owe(self) -> None:
        self.waiting.append(OutboxEntry(new_id(), {}, 1))


async def test_nothing_is_published_from_a_server_that_was_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server that was started anew, or another member, may serve an older copy."""
    monkeypatch.setattr(relay, "_COMPARE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(relay, "_LOOK_SECONDS", 0.01)
    outbox, steps, answers = OneServer(), [], {"first": Agreement(), "second": Agreement(may_publish=False)}

    class Producer:
        def connect(self) -> None:
            steps.append("connected")

        async def publish(self, records: list[OutgoingRecord], **_: Any) -> None:
            steps.extend(f"published from the {outbox.run}" for _ in records)

    async def encode(entries: Any) -> list[OutgoingRecord]:
        return [OutgoingRecord("t", "k", b"", {"ce_id": str(entry.id)}) for entry in entries]

    async def compare(confirm: Any) -> Agreement:
        await confirm()
        steps.append(f"compared with the {outbox.run}")
        return answers[outbox.run]

    async def prepare() -> None:
        if steps.count("looked for topics") < 3:
            steps.append("looked for topics")
            raise TransientError("unavailable", "by the test")

    async def has(step: str) -> bool:
        return step in steps

    publishing = Relay(outbox, Producer(), encode, prepare=prepare, compare=compare)  # type: ignore[arg-type]
    publishing.start()
    try:
        outbox.owe()
        await eventually(lambda: has("published from the first"))
        # A producer that connects before it has its rights fails for good.
        told = [step for step in steps if not step.startswith("compared")]
        assert told == [*["looked for topics"] * 3, "connected", "published from the first"]
        assert steps.index("compared with the first") < steps.index("published from the first")
        outbox.run = "second"
        outbox.owe()
        publishing.wake()
        await eventually(lambda: _count(steps, "compared with the second", 3))
        assert "published from the second" not in steps
        answers["second"] = Agreement()
        await eventually(lambda: has("published from the second"))
    finally:
        await publishing.close()


async def _count(steps: list[str], step: str, times: int) -> bool:
    return steps.count(step) >= times
