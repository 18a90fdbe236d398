"""A daemon's audit trail, as its tests grow it, ask it and spoil it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from daemons.shared.mongo import Database
from tests.support.bank import Bank
from tests.support.notifier import Notifier


@dataclass(frozen=True)
class Chain:
    """One trail: `act` does what adds one record, `ask` reads for staff below the trail's own path."""

    database: Database
    act: Callable[[], Awaitable[httpx.Response]]
    ask: Callable[[str], Awaitable[httpx.Response]]

    async def grow(self, records: int) -> None:
        """Act so many times."""
        for _ in range(records):
            answer = await self.act()
            assert answer.is_success, answer.text

    async def proof(self, query: str = "") -> dict[str, Any]:
        """Verify the trail."""
        answer = await self.ask(f"/proof{query}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document


async def ledger_chain(bank: Bank) -> Chain:
    """That of accounts and money, which fundings make longer."""
    olga, alice = await bank.person("Olga", "operator"), await bank.person()
    account = await alice.open_account()
    return Chain(
        bank.ledger, lambda: olga.fund(account, "1.00"), lambda rest: olga.get(f"/audit/ledger{rest}")
    )


def events_chain(notifier: Notifier, database: Database) -> Chain:
    """That of dead letters, which resumptions make longer."""
    return Chain(
        database,
        lambda: notifier.post("/dead-letters/resume", {"reason": "seen"}),
        lambda rest: notifier.get(f"/audit/events{rest}"),
    )
