"""How the relay stops."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from daemons.shared.outbox import relay
from daemons.shared.outbox.relay import Relay
from tests.support.waiting import patience


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
