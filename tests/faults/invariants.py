"""The invariants of docs/reliability.md, checked from the outside: while faults run, and after healing."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.faults.bank_processes import FaultBank, Person
from tests.faults.load import UNREACHABLE, Load, attempt, attempt_batch, attempt_opening
from tests.faults.tally import Tally
from tests.faults.told import AtomicBatch, Changes, OpeningAsked, Operation, Verdict
from tests.support.waiting import patience

DRAINED_WITHIN_SECONDS = 60
"""Promise 5: from healing until every key is settled and every event recorded."""
_PROOF_PAUSE_SECONDS = 0.5
_SETTLED_AT_ONCE = 16
Asked = Operation | AtomicBatch | OpeningAsked


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
    """Prove the ledger while the block runs. A watch that proved nothing says nothing, and fails."""
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
    assert watch.proofs > 0, "the books were not proved once"


def assert_books_hold(proof: dict[str, Any]) -> None:
    """Sums are zero, balances are the fold of their entries, sequences have no gaps, nobody is overdrawn."""
    assert proof["mismatches"] == [], proof["mismatches"]
    assert proof["holds"], proof
    assert all(int(total["sum_minor"]) == 0 for total in proof["currencies"]), proof


async def assert_nothing_lost_nothing_twice(load: Load, *, notifier: str = "notifier") -> Tally:
    """Hold the bank to all it has told, once the faults are over and every daemon is ready."""
    started = time.monotonic()
    await _assert_promises_kept(load)
    everything: list[Asked] = [*load.operations, *load.batches, *load.openings]
    unsettled = [one for one in everything if one.settled is None]
    tally = Tally(operations=len(everything), settled_later=len(unsettled))
    left: list[object] = []
    within = DRAINED_WITHIN_SECONDS - (time.monotonic() - started)
    async with patience("everything to be settled and drained", seconds=within, found=lambda: left):
        for first in range(0, len(unsettled), _SETTLED_AT_ONCE):
            await asyncio.gather(*(settle(one) for one in unsettled[first : first + _SETTLED_AT_ONCE]))
        await _assert_all_or_none(load)
        await _assert_opened_once(load)
        draining = asyncio.create_task(drained(load.bank, notifier=notifier, left=left))
        try:
            # What is wrong in the journal is told at once, and not as something that never arrives.
            await _assert_each_key_once(load)
            _assert_no_more_reversed_than_done(load)
            await _assert_balances(load)
            await draining
        finally:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
    tally.drained_seconds = time.monotonic() - started
    await _assert_told_once_and_in_order(load, notifier)
    for changes in load.changes:
        await _assert_changes_are_whole(changes, load.bank.urls[notifier])
    tally.completed = sum(one.settled is Verdict.COMPLETED for one in everything)
    tally.failed = tally.operations - tally.completed
    return tally


async def settle(one: Asked) -> None:
    """Ask again with the same keys until the outcome is told."""
    async with patience("an outcome to be told", found=lambda: one):
        while one.settled is None:
            if isinstance(one, Operation):
                verdict = await attempt(one)
            elif isinstance(one, AtomicBatch):
                verdict = await attempt_batch(one)
            else:
                verdict = await attempt_opening(one)
            if verdict is Verdict.NOTHING:
                await asyncio.sleep(0.1)


async def drained(bank: FaultBank, *, notifier: str = "notifier", left: list[object] | None = None) -> None:
    """Wait until each transaction is one event and one notification, each poisoned record a dead letter.

    What was found last is in `left`, for callers that bound the wait themselves.
    """
    shown: list[object] = [] if left is None else left
    async with patience("the outbox to drain", found=lambda: f"not drained: {shown}"):
        while not await _is_drained(bank, notifier, shown):  # noqa: ASYNC110 - happens in other processes
            await asyncio.sleep(0.1)


async def _is_drained(bank: FaultBank, notifier: str, shown: list[object]) -> bool:
    try:
        ledger, events = await bank.ledger_proof(), await bank.event_proof(notifier)
        letters = await bank.dead_letters(notifier)
    except UNREACHABLE as error:
        shown[:] = [error]
        return False
    assert_books_hold(ledger)
    shown[:] = [
        {"pending": ledger["outbox_pending"], "journal": ledger["events"], "events": events},
        {"dead letters": letters, "poisoned": bank.poisoned},
    ]
    told = {kind: events[kind] for kind in ("events", "notifications")}
    for kind, found in told.items():
        beyond = found["count"] > ledger["events"]["count"]
        assert not beyond, f"more {kind} than records of the journal: {shown}"
    assert events["holds"], f"the notifier's log is not what was recorded: {events['mismatches']}"
    assert Counter(letters) <= Counter(bank.poisoned), f"a dead letter that nobody poisoned: {shown}"
    wanted = dict.fromkeys(told, ledger["events"])
    return ledger["outbox_pending"] == 0 and told == wanted and sorted(letters) == sorted(bank.poisoned)


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
    promised += [row.key for batch in load.batches if batch.promised_nothing_done for row in batch.rows]
    unsettled = [batch for batch in load.batches if batch.settled is None]
    if promised or unsettled:
        found = await transactions_by_key(load)
        for batch in unsettled:
            kept = sum(row.key in found for row in batch.rows)
            assert kept in {0, len(batch.rows)}, f"{kept} rows of an atomic batch were done"
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


def _assert_no_more_reversed_than_done(load: Load) -> None:
    """In sum, reversals take back at most the original."""
    left = {operation.key: operation.minor for operation in load.operations}
    for operation in load.operations:
        if operation.reverses is not None and operation.settled is Verdict.COMPLETED:
            left[operation.reverses.key] -= operation.minor
            assert left[operation.reverses.key] >= 0, f"reversed beyond its amount: {operation.reverses}"


async def _assert_all_or_none(load: Load) -> None:
    """A batch is done as a whole or leaves nothing behind."""
    found = await transactions_by_key(load)
    for batch in load.batches:
        assert not (batch.impossible and batch.settled is Verdict.COMPLETED), batch
        kept = [[transaction["id"] for transaction in found.get(row.key, ())] for row in batch.rows]
        assert kept == [list(row.transaction_ids) for row in batch.rows], f"{batch} is kept as {kept}"
        wanted = 1 if batch.settled is Verdict.COMPLETED else 0
        assert {len(of_row) for of_row in kept} == {wanted}, f"{batch} is kept as {kept}"


async def _assert_opened_once(load: Load) -> None:
    """Each key has opened one account."""
    wanted = sorted((asked.key, account) for asked in load.openings for account in asked.accounts)
    found = [account for person in load.people for account in await person.pages("/accounts")]
    opened = sorted((account["name"], account["id"]) for account in found if account["name"] is not None)
    assert opened == wanted, f"opened {opened}, told {wanted}"


async def _assert_changes_are_whole(changes: Changes, notifier_at: str) -> None:
    """Each change has one number of the account, one event and one audit entry, and the last one holds."""
    operator, shown = changes.person, []
    async with patience("each change to be told", found=lambda: (changes, shown)):
        while True:
            answer = await operator.call("GET", f"/accounts/{changes.account}/balance")
            assert answer.status == 200, answer
            query = {"account": changes.account, "order": "asc"}
            told = await operator.pages("/events/history", at=notifier_at, **query)
            in_order = [(event["data"]["sequence"], event["data"]["change"]) for event in told]
            kept = await operator.pages("/audit/ledger", target=changes.account)
            actions = [record["action"] for record in reversed(kept)]
            count = answer.body["sequence"]
            wanted = [(number, "frozen" if number % 2 else "unfrozen") for number in range(1, count + 1)]
            shown[:] = [answer.body, in_order, actions]
            acts = [what.replace("frozen", "freeze") for _, what in wanted]
            if (in_order, actions) == ([(0, "opened"), *wanted], acts):
                break
            # One that nobody waits for any longer may be at work.
            assert len(set(in_order)) == len(in_order), shown
            await asyncio.sleep(0.1)
    assert changes.done <= count <= changes.done + changes.unanswered, (changes, shown)
    assert answer.body["status"] == ("frozen" if count % 2 else "active"), (changes, shown)


async def _assert_balances(load: Load) -> None:
    """Every balance is what the completed operations make of the opening one, and nothing else."""
    expected = dict(load.opened_minor)
    rows = [row for batch in load.batches for row in batch.rows]
    for operation in [*load.operations, *rows]:
        if operation.settled is Verdict.COMPLETED:
            if operation.receiver is not None:
                expected[operation.receiver] += operation.minor
            if operation.sender is not None:
                expected[operation.sender] -= operation.minor
    for person in load.people:
        for account in load.accounts[person.user_id]:
            assert await person.balance_minor(account) == expected[account], account


async def _assert_told_once_and_in_order(load: Load, notifier: str) -> None:
    """Promise 4, for every account: one event and notification for each entry, payments in their order."""
    operator, at = load.bank.operator, load.bank.urls[notifier]
    notified = Counter(
        (notice["event_id"], notice["channel"]) for notice in await operator.pages("/notifications", at=at)
    )
    twice = [one for one, times in notified.items() if times > 1]
    assert twice == [], f"notified more than once: {twice}"
    for person in load.people:
        for account in load.accounts[person.user_id]:
            told = await operator.pages("/events/history", at=at, account=account, order="asc")
            untold = {event["id"] for event in told} - {event_id for event_id, _ in notified}
            assert untold == set(), f"{account}: events without a notification: {untold}"
            await _assert_account_is_told(person, account, told)


async def _assert_account_is_told(person: Person, account: str, told: list[dict[str, Any]]) -> None:
    paid, received = (
        [
            (event["data"][side]["sequence"], event["data"]["transaction_id"])
            for event in told
            if event["data"].get(side, {}).get("account_id") == account
            and event["data"][side]["sequence"] is not None
        ]
        for side in ("sender", "receiver")
    )
    lines = await person.pages(f"/accounts/{account}/transactions")
    entries = Counter(line["transaction_id"] for line in lines if line["status"] == "completed")
    of_events = Counter(transaction for _, transaction in paid + received)
    assert entries == of_events, (
        f"{account}: entries and events differ: {entries - of_events, of_events - entries}"
    )
    numbers = Counter(number for number, _ in paid + received)
    assert set(numbers.values()) <= {1}, f"{account}: a number was told twice: {numbers}"
    # An event goes to its sender's place in the topic: only what an account pays is told in order.
    assert paid == sorted(paid), f"{account} was told in the order {paid}"
