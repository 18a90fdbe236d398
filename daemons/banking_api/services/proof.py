"""Proves the books: every figure is computed again from the entries and held against what is stored."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from daemons.banking_api.domain.journal import is_system_account
from daemons.banking_api.storage.ledger_snapshot import (
    LedgerSnapshot,
    Posting,
    SnapshotOpener,
    StoredAccount,
)
from daemons.contracts.digest import EventSetDigest
from daemons.shared.progress import Progress
from daemons.shared.tasks import end_task

MISMATCHES_REPORTED = 100
_BETWEEN_PAUSES = 50
"""So many are folded in half a millisecond; then other requests have their turn."""

BatchT = TypeVar("BatchT")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An account or transaction that does not add up, and how."""

    id: str
    problem: str


@dataclass(slots=True)
class CurrencyTotal:
    """One currency: what all balances sum to, which must be zero."""

    sum_minor: int = 0
    accounts: int = 0
    entries: int = 0


@dataclass(slots=True)
class _Fold:
    """What an account's entries say."""

    sum_minor: int = 0
    count: int = 0
    highest_sequence: int = 0
    sum_of_sequences: int = 0
    balance_at_highest: int = 0


@dataclass(slots=True)
class Proof:
    """What was found; `holds` only if nothing is wrong."""

    currencies: dict[str, CurrencyTotal] = field(default_factory=lambda: defaultdict(CurrencyTotal))
    accounts: int = 0
    completed: int = 0
    failed: int = 0
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    outbox_pending: int = 0
    events: EventSetDigest = field(default_factory=EventSetDigest)

    @property
    def holds(self) -> bool:
        """Tell whether every sum is zero and nothing contradicts the entries."""
        return self.mismatch_count == 0 and all(total.sum_minor == 0 for total in self.currencies.values())

    def report(self, id_: str, problem: str) -> None:
        """Count a contradiction, and keep the first ones to show."""
        self.mismatch_count += 1
        if len(self.mismatches) < MISMATCHES_REPORTED:
            self.mismatches.append(Mismatch(id_, problem))


class LedgerProver:
    """Proves one ledger; one proof at a time, for it reads everything."""

    def __init__(self, opener: SnapshotOpener) -> None:
        self._opener = opener
        self._one_at_a_time = asyncio.Lock()

    async def prove(self, progress: Progress) -> Proof:
        """Prove the books as of the moment at which this proof begins."""
        async with self._one_at_a_time, self._opener.open() as snapshot:
            return await prove_ledger(snapshot, progress)


async def prove_ledger(snapshot: LedgerSnapshot, progress: Progress | None = None) -> Proof:
    """Fold the whole journal and compare it with the accounts, both as of one moment."""
    progress = progress or Progress()
    proof = Proof()
    folds: dict[str, _Fold] = defaultdict(_Fold)
    progress.enter("journal", total=await snapshot.journal_size())
    async with aclosing(_one_ahead(snapshot.journal())) as batches:
        async for batch in batches:
            for start in range(0, len(batch), _BETWEEN_PAUSES):
                for posting in batch[start : start + _BETWEEN_PAUSES]:
                    _fold_posting(proof, folds, posting)
                progress.done = proof.events.count
                await asyncio.sleep(0)
    progress.enter("accounts", total=await snapshot.accounts_size())
    async for account in snapshot.accounts():
        _check_account(proof, account, folds.pop(account.id, _Fold()))
        progress.done += 1
        if progress.done % _BETWEEN_PAUSES == 0:
            # Accounts that have arrived are read without waiting.
            await asyncio.sleep(0)
    for account_id in folds:
        proof.report(account_id, "has entries and no account")
    progress.enter("outbox", total=1)
    proof.outbox_pending = await snapshot.outbox_pending()
    return proof


async def _one_ahead(batches: AsyncIterator[BatchT]) -> AsyncGenerator[BatchT, None]:
    """Ask for the next batch while the present one is worked on, so that the database works meanwhile."""
    coming = asyncio.create_task(_next(batches))
    try:
        while (batch := await coming) is not None:
            coming = asyncio.create_task(_next(batches))
            yield batch
    finally:
        await end_task(coming)


async def _next(batches: AsyncIterator[BatchT]) -> BatchT | None:
    return await anext(batches, None)


def _fold_posting(proof: Proof, folds: dict[str, _Fold], posting: Posting) -> None:
    proof.events.add(posting.id)
    completed, entries = posting.completed, posting.entries
    proof.completed += completed
    proof.failed += not completed
    if sum(entry.amount_minor for entry in entries) != 0:
        proof.report(str(posting.id), "its entries do not sum to zero")
    if completed != bool(entries) or completed == posting.has_failure:
        proof.report(str(posting.id), "its status does not fit its entries")
    for entry in entries:
        fold = folds[entry.account_id]
        fold.sum_minor += entry.amount_minor
        fold.count += 1
        fold.sum_of_sequences += entry.sequence
        if entry.sequence > fold.highest_sequence:
            fold.highest_sequence = entry.sequence
            fold.balance_at_highest = entry.balance_after_minor


def _check_account(proof: Proof, account: StoredAccount, fold: _Fold) -> None:
    total = proof.currencies[account.currency]
    total.sum_minor += account.balance_minor
    total.accounts += 1
    total.entries += fold.count
    proof.accounts += 1
    if fold.sum_minor != account.balance_minor:
        proof.report(account.id, f"balance {account.balance_minor}, its entries sum to {fold.sum_minor}")
    if fold.balance_at_highest != account.balance_minor:
        last = fold.balance_at_highest
        proof.report(account.id, f"balance {account.balance_minor}, its last entry says {last}")
    # n different numbers up to n: none is missing and none stands twice.
    expected = fold.count * (fold.count + 1) // 2
    if not (account.sequence == fold.highest_sequence == fold.count and fold.sum_of_sequences == expected):
        proof.report(account.id, f"its sequence {account.sequence} has gaps over {fold.count} entries")
    if account.balance_minor < 0 and not is_system_account(account.id):
        proof.report(account.id, f"balance {account.balance_minor} is below zero")
