"""The invariants of docs/reliability.md, checked from the outside: while faults run, and after healing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.faults.bank_processes import FaultBank
from tests.faults.load import Load, attempt
from tests.faults.tally import Tally
from tests.faults.told import Operation, Verdict
from tests.support.waiting import patience

_PROOF_PAUSE_SECONDS = 0.5
_SETTLED_AT_ONCE = 16
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


class Watch:
    """Proves the ledger again and again; whenever the bank answers, the books must be right."""

    def __init__(self, bank: FaultBank) -> None:
        self.proofs = 0
        self._bank = bank

    async def run(self) -> None:
        while True:
            try:
                proof = await self._bank.ledger_proof()
            except UNREACHABLE:
                pass
            else:
                assert_books_hold(proof)
                self.proofs += 1
            await asyncio.sleep(_PROOF_PAUSE_SECONDS)


@asynccontextmanager
async def watched(bank: FaultBank) -> AsyncIterator[Watch]:
    """Prove the ledger while the block runs."""
    watch = Watch(bank)
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        if not running.done():
            running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        if not running.cancelled():
            running.result()


def assert_books_hold(proof: dict[str, Any]) -> None:
    """Sums are zero, balances are the fold of their entries, sequences have no gaps, nobody is overdrawn."""
    assert proof["mismatches"] == [], proof["mismatches"]
    assert proof["holds"], proof
    assert all(int(total["sum_minor"]) == 0 for total in proof["currencies"]), proof


async def assert_nothing_lost_nothing_twice(load: Load, *, notifier: str = "notifier") -> Tally:
    """Hold the bank to all it has told, once the faults are over and every daemon is ready."""
    started = time.monotonic()
    await _assert_promises_kept(load)
    unsettled = [operation for operation in load.operations if operation.settled is None]
    tally = Tally(operations=len(load.operations), settled_later=len(unsettled))
    for first in range(0, len(unsettled), _SETTLED_AT_ONCE):
        await asyncio.gather(*(settle(one) for one in unsettled[first : first + _SETTLED_AT_ONCE]))
    await _assert_each_key_once(load)
    await _assert_balances(load)
    await drained(load.bank, notifier=notifier)
    tally.drained_seconds = time.monotonic() - started
    await _assert_order_per_account(load, notifier)
    tally.completed = sum(operation.settled is Verdict.COMPLETED for operation in load.operations)
    tally.failed = tally.operations - tally.completed
    return tally


async def settle(operation: Operation) -> None:
    """Ask again with the same key until the outcome is told."""
    async with patience("an outcome to be told", found=lambda: operation):
        while operation.settled is None:
            if await attempt(operation) is Verdict.NOTHING:
                await asyncio.sleep(0.1)


async def drained(bank: FaultBank, *, notifier: str = "notifier") -> None:
    """Wait until every journal transaction has become exactly one event and one notification."""
    shown: tuple[object, ...] = ()
    async with patience(
        "the outbox to drain", found=lambda: f"not drained: pending, journal, events = {shown}"
    ):
        while True:
            try:
                ledger, events = await bank.ledger_proof(), await bank.event_proof(notifier)
            except UNREACHABLE as error:
                shown = (error,)
            else:
                assert_books_hold(ledger)
                shown = (ledger["outbox_pending"], ledger["events"], events)
                wanted = {"transactions": ledger["events"], "notifications": ledger["events"]}
                if ledger["outbox_pending"] == 0 and events == wanted:
                    return
                for kind, found in events.items():
                    beyond = found["count"] > ledger["events"]["count"]
                    assert not beyond, f"more {kind} than journal transactions: {shown}"
            await asyncio.sleep(0.1)


async def transactions_by_key(load: Load) -> dict[str, list[dict[str, Any]]]:
    """All transactions that the load's people and the operator have asked for, by idempotency key."""
    found: dict[str, list[dict[str, Any]]] = {}
    for person in [*load.people, load.bank.operator]:
        for item in await person.pages("/transactions"):
            found.setdefault(item["reference"] or item["id"], []).append(item)
    return found


async def _assert_promises_kept(load: Load) -> None:
    """Who was told that nothing was done, and nothing else, finds that nothing was done."""
    promised = [operation.key for operation in load.operations if operation.promised_nothing_done]
    if promised:
        found = await transactions_by_key(load)
        broken = [key for key in promised if key in found]
        assert broken == [], f"told that nothing was done, and it was: {broken}"


async def _assert_each_key_once(load: Load) -> None:
    found = await transactions_by_key(load)
    for operation in load.operations:
        kept = found.get(operation.key, [])
        assert len(kept) == 1, f"key {operation.key}, told {operation.verdicts}, is kept {len(kept)} times"
        transaction = kept[0]
        assert transaction["status"] == operation.settled, (operation, transaction)
        assert {transaction["id"]} == operation.transaction_ids, (operation, transaction)
        assert transaction["amount"]["amount"] == operation.body["amount"], (operation, transaction)
        parties = (transaction["from_account"], transaction["to_account"])
        assert parties == (operation.sender, operation.receiver), (operation, transaction)


async def _assert_balances(load: Load) -> None:
    """Every balance is what the completed operations make of the opening one, and nothing else."""
    expected = dict(load.opened_minor)
    for operation in load.operations:
        if operation.settled is Verdict.COMPLETED:
            expected[operation.receiver] += operation.minor
            if operation.sender is not None:
                expected[operation.sender] -= operation.minor
    for person in load.people:
        for account in load.accounts[person.user_id]:
            assert await person.balance_minor(account) == expected[account], account


async def _assert_order_per_account(load: Load, notifier: str) -> None:
    """An account's payments stand in the event log in the order of its entries, each once."""
    account = load.accounts[load.people[0].user_id][0]
    events = await load.bank.operator.pages(
        "/events/history",
        at=load.bank.urls[notifier],
        account=account,
        type="TransactionCompleted",
        order="asc",
    )
    sequences = [
        event["data"]["sender"]["sequence"]
        for event in events
        if event["data"]["sender"]["account_id"] == account
    ]
    assert sequences == sorted(set(sequences)), f"{account}: {sequences}"
