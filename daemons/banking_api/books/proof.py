"""Proves the books: every figure is computed again from the entries and held against what is stored.

The journal is read once, in the order of its ids, which is nearly that of the accounts' numbers. An entry
that comes before its turn waits for it, so that each account's history is followed number by number and every
balance after an entry is compared with the sum up to it.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from daemons.banking_api.books.chain import ChainCheck, SignedRoot
from daemons.banking_api.books.checkpoints import Checkpoints, StoredCheckpoint
from daemons.banking_api.books.snapshot import LedgerSnapshot, SnapshotOpener, StoredAccount, StoredRecord
from daemons.banking_api.ledger.account import (
    Entry,
    is_banks_account,
    is_tally,
    is_tally_of_record,
    untouched,
)
from daemons.banking_api.ledger.seal import GENESIS, Head, Seal
from daemons.contracts.digest import EventSetDigest
from daemons.contracts.errors import ConflictError
from daemons.shared.findings import Findings
from daemons.shared.http.event_sets import EventSetQuery
from daemons.shared.progress import Progress
from daemons.shared.tasks import end_task

_BETWEEN_PAUSES = 50
"""So many are folded in half a millisecond; then other requests have their turn."""

_EARLY_LIMIT = 100_000
"""How many entries of an account may wait for their turn; where there are more, one is missing."""

BatchT = TypeVar("BatchT")


@dataclass(slots=True)
class CurrencyTotal:
    """One currency: what all balances sum to, which must be zero."""

    sum_minor: int = 0
    accounts: int = 0
    entries: int = 0


@dataclass(slots=True)
class _Fold:
    """What an account's entries and changes say; `written` is what was written down, with its number."""

    written: StoredAccount | None = None
    sum_minor: int = 0
    sum_when_written: int = 0
    count: int = 0
    entries: int = 0
    openings: int = 0
    highest_sequence: int = 0
    balance_at_highest: int = 0
    followed: int = 0
    """All numbers up to this one have come, each once; they sum to `followed_minor`."""
    followed_minor: int = 0
    early: dict[int, Entry] = field(default_factory=dict)
    is_torn: bool = False
    """A number stands twice, or so many are early that one must be missing."""
    has_wrong_balance: bool = False
    changes: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """What its records change of its terms, by number."""
    met_sequence: int = -1
    met_balances: set[int] = field(default_factory=set)
    """What failed attempts met under the highest number that any of them met."""
    may_be_below_zero: bool = False
    """Whether something that may take an account below zero was booked on it."""
    taken_below_zero: int | None = None
    """The balance after something else took it below zero."""

    def add(self, entry: Entry) -> None:
        """Take in one entry, in any order."""
        sequence = entry.sequence
        if entry.change is not None:
            self.changes[sequence] = entry.change
        if sequence == 0:
            self.openings += 1
            self.has_wrong_balance |= (entry.amount_minor, entry.balance_after_minor) != (0, 0)
            return
        self.sum_minor += entry.amount_minor
        if self.written is not None and sequence <= self.written.sequence:
            self.sum_when_written += entry.amount_minor
        self.count += 1
        if sequence > self.highest_sequence:
            self.highest_sequence = sequence
            self.balance_at_highest = entry.balance_after_minor
        if sequence != self.followed + 1:
            self._wait(entry)
            return
        self._follow(entry)
        while self.early and (following := self.early.pop(self.followed + 1, None)):
            self._follow(following)

    def terms(self) -> dict[str, Any]:
        """What its records make of its terms, as plain values."""
        terms: dict[str, Any] = {}
        for sequence in sorted(self.changes):
            terms.update(self.changes[sequence])
        return terms

    def meet(self, attempt: Entry) -> None:
        """Take in what a failed attempt met: the newest of them is where the next command starts from."""
        if attempt.sequence > self.met_sequence:
            self.met_sequence = attempt.sequence
            self.met_balances.clear()
        if attempt.sequence == self.met_sequence:
            self.met_balances.add(attempt.balance_after_minor)

    @property
    def has_gaps(self) -> bool:
        """Whether the numbers are others than 1, 2, 3 and so on, each once."""
        return self.is_torn or bool(self.early)

    def _follow(self, entry: Entry) -> None:
        self.followed += 1
        self.followed_minor += entry.amount_minor
        if self.followed_minor != entry.balance_after_minor:
            self.has_wrong_balance = True

    def _wait(self, entry: Entry) -> None:
        if entry.sequence <= self.followed or entry.sequence in self.early:
            self.is_torn = True
        elif not self.is_torn:
            self.early[entry.sequence] = entry
            self.is_torn = len(self.early) > _EARLY_LIMIT


@dataclass(slots=True)
class Proof(Findings):
    """What was found; `holds` only if nothing is wrong."""

    currencies: dict[str, CurrencyTotal] = field(default_factory=lambda: defaultdict(CurrencyTotal))
    accounts: int = 0
    completed: int = 0
    failed: int = 0
    outbox_pending: int = 0
    scope: EventSetQuery = field(default_factory=EventSetQuery)
    """Of which events the digest is."""
    events: EventSetDigest = field(default_factory=EventSetDigest)
    as_of: datetime = field(default=datetime.fromtimestamp(0, UTC))
    """When the newest record was made."""
    head: Head = GENESIS
    """The journal's end, computed again from the records."""
    states: bytes = b""
    """A digest of all balances and numbers at that end."""
    checkpoint: StoredCheckpoint | None = None
    """What was signed of it."""

    @property
    def holds(self) -> bool:
        """Tell whether every sum is zero and nothing contradicts the entries."""
        return self.mismatch_count == 0 and all(total.sum_minor == 0 for total in self.currencies.values())


class LedgerProver:
    """Proves one ledger; one proof at a time, for it reads everything."""

    def __init__(self, opener: SnapshotOpener, checkpoints: Callable[[], Checkpoints]) -> None:
        self._opener = opener
        self._checkpoints = checkpoints
        self._one_at_a_time = asyncio.Lock()

    async def prove(self, progress: Progress, scope: EventSetQuery) -> Proof:
        """Prove the books as of the moment at which this proof begins."""
        async with self._one_at_a_time:
            # Read before the journal, which then has all that they cover.
            signed, faults = await self._checkpoints().signed_roots()
            async with self._opener.open() as snapshot:
                proof = await prove_ledger(snapshot, progress, scope, signed=signed)
        for name, problem in faults:
            proof.report(name, problem)
        return proof

    async def prove_and_sign(self, progress: Progress, scope: EventSetQuery) -> Proof:
        """Prove the books, and sign the journal's end if they hold."""
        proof = await self.prove(progress, scope)
        if proof.holds:
            try:
                proof.checkpoint = await self._checkpoints().make(proof.head, states=proof.states)
            except ConflictError as error:
                proof.report("checkpoint", error.message)
        return proof


async def prove_ledger(
    snapshot: LedgerSnapshot,
    progress: Progress | None = None,
    scope: EventSetQuery | None = None,
    *,
    signed: Sequence[SignedRoot] = (),
) -> Proof:
    """Fold the whole journal and compare it with the accounts, both as of one moment."""
    progress, scope = progress or Progress(), scope or EventSetQuery()
    proof = Proof(scope=scope, events=scope.digest())
    folds: dict[str, _Fold] = defaultdict(_Fold)
    progress.enter("accounts", total=await snapshot.accounts_size())
    async for account in snapshot.accounts():
        folds[account.id] = _Fold(account)
        progress.done += 1
        if progress.done % _BETWEEN_PAUSES == 0:
            # Accounts that have arrived are read without waiting.
            await asyncio.sleep(0)
    progress.enter("journal", total=await snapshot.journal_size())
    chain = ChainCheck(proof.report, signed)
    seals = _Seals(snapshot.seals())
    async with aclosing(seals), aclosing(_one_ahead(snapshot.journal())) as batches:
        async for batch in batches:
            for start in range(0, len(batch), _BETWEEN_PAUSES):
                for record in batch[start : start + _BETWEEN_PAUSES]:
                    _fold_record(proof, folds, record)
                    if isinstance(record.id, UUID):
                        chain.add(record.id, record.leaf)
                await asyncio.sleep(0)
            progress.done += len(batch)
            await seals.check(chain, to_the_end=False)
        await seals.check(chain, to_the_end=True)
    chain.end()
    proof.head = chain.head
    for id_ in await snapshot.strangers():
        proof.report(id_, "is in the journal and is neither a record nor a seal")
    progress.enter("sums", total=len(folds))
    for account_id, fold in folds.items():
        _check_account(proof, account_id, fold)
        progress.done += 1
        if progress.done % _BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)
    proof.states = _digest_of(folds)
    progress.enter("outbox", total=1)
    await _check_outbox(proof, snapshot, last_seal=chain.head.number)
    return proof


def _digest_of(folds: Mapping[str, _Fold]) -> bytes:
    """Return a digest of the balance and the number of every account and tally."""
    digest = hashlib.sha256()
    for account_id in sorted(folds):
        fold = folds[account_id]
        digest.update(f"{account_id} {fold.balance_at_highest} {fold.highest_sequence}\n".encode())
    return digest.digest()


async def _check_outbox(proof: Proof, snapshot: LedgerSnapshot, *, last_seal: int) -> None:
    proof.outbox_pending = await snapshot.outbox_pending()
    for topic, position in (await snapshot.positions()).items():
        if position > last_seal:
            proof.report("positions", f"{topic} is published up to seal {position}, the last is {last_seal}")


class _Seals:
    """The seals one after another, as the records that they seal have come."""

    def __init__(self, seals: AsyncIterator[tuple[Seal, list[UUID]]]) -> None:
        self._seals = seals
        self._next: tuple[Seal, list[UUID]] | None = None
        self._has_begun = False

    async def check(self, chain: ChainCheck, *, to_the_end: bool) -> None:
        """Check those whose records must have come, or all that are left."""
        if not self._has_begun:
            self._has_begun = True
            self._next = await anext(self._seals, None)
        while self._next is not None and (to_the_end or chain.is_due(self._next[1])):
            chain.check(*self._next)
            self._next = await anext(self._seals, None)

    async def aclose(self) -> None:
        """Read no more."""
        if isinstance(self._seals, AsyncGenerator):
            await self._seals.aclose()


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


def _fold_record(proof: Proof, folds: dict[str, _Fold], record: StoredRecord) -> None:
    completed, entries = record.completed, record.entries
    if record.fault is not None:
        proof.report(str(record.id), record.fault)
        return
    proof.as_of = max(proof.as_of, record.at)
    if proof.scope.covers(record.at):
        proof.events.add(record.id, record.content)
    if record.is_transaction:
        proof.completed += completed
        proof.failed += not completed
    elif not completed:
        proof.report(str(record.id), "a change that failed was kept")
    if sum(entry.amount_minor for entry in entries if not is_tally(entry.account_id)) != 0:
        proof.report(str(record.id), "its entries do not sum to zero")
    if completed != bool(entries) or completed == record.has_failure:
        proof.report(str(record.id), "its status does not fit its entries")
    for entry in entries:
        _fold_entry(proof, folds[entry.account_id], record, entry)
    if record.attempt is not None:
        folds[record.attempt.account_id].meet(record.attempt)


def _fold_entry(proof: Proof, fold: _Fold, record: StoredRecord, entry: Entry) -> None:
    fold.add(entry)
    fold.entries += record.is_transaction
    if is_tally(entry.account_id):
        most = record.at_most if is_tally_of_record(entry.account_id) else None
        if most is not None and entry.balance_after_minor > most:
            proof.report(str(record.id), f"{entry.account_id} exceeds {most}")
    elif record.overdraws:
        fold.may_be_below_zero = True
    elif entry.amount_minor < 0 and entry.balance_after_minor < 0:
        fold.taken_below_zero = entry.balance_after_minor


def _check_account(proof: Proof, account_id: str, fold: _Fold) -> None:
    _check_history(proof, account_id, fold)
    if is_tally(account_id):
        return
    written, balance = fold.written, fold.balance_at_highest
    if written is None:
        own = untouched(account_id)
        if own is None:
            proof.report(account_id, "has entries and no account")
            return
        # The bank's own accounts exist without being opened, and are never written down.
        written = StoredAccount(account_id, own.terms.currency, 0, 0)
    elif fold.openings != 1:
        proof.report(account_id, f"was opened {fold.openings} times")
    elif written.terms != (terms := fold.terms()):
        _report_terms(proof, account_id, written.terms or {}, terms)
    total = proof.currencies[written.currency]
    total.sum_minor += balance
    total.accounts += 1
    total.entries += fold.entries
    proof.accounts += 1
    _check_attempts(proof, account_id, fold)
    _check_written(proof, account_id, fold, written)
    if not is_banks_account(account_id):
        _check_not_below_zero(proof, account_id, fold)


def _check_written(proof: Proof, account_id: str, fold: _Fold, written: StoredAccount) -> None:
    if written.sequence > fold.highest_sequence:
        proof.report(account_id, f"is written down as of {written.sequence}, beyond its entries: gaps")
    if written.balance_minor != fold.sum_when_written:
        proof.report(
            account_id,
            f"balance {written.balance_minor} written down as of {written.sequence}, "
            f"its entries sum to {fold.sum_when_written}",
        )


def _report_terms(proof: Proof, account_id: str, written: Mapping[str, Any], terms: dict[str, Any]) -> None:
    missing = object()
    for name in sorted(written.keys() | terms.keys()):
        there, right = written.get(name, missing), terms.get(name, missing)
        if there is missing or right is missing:
            proof.report(account_id, f"its {name} is written down or recorded only in one place")
        elif there != right:
            proof.report(account_id, f"its {name} is written down as {there}, its records say {right}")


def _check_history(proof: Proof, account_id: str, fold: _Fold) -> None:
    balance = fold.balance_at_highest
    if fold.sum_minor != balance:
        proof.report(account_id, f"balance {balance}, its entries sum to {fold.sum_minor}")
    if fold.has_gaps:
        proof.report(account_id, f"its sequence {fold.highest_sequence} has gaps over {fold.count} entries")
    elif fold.has_wrong_balance:
        proof.report(account_id, "a balance after one of its entries is not the sum up to it")


def _check_not_below_zero(proof: Proof, account_id: str, fold: _Fold) -> None:
    """An account is below zero only where something that may take it there has, and until money comes in."""
    below = fold.taken_below_zero
    if below is None and not fold.may_be_below_zero and fold.balance_at_highest < 0:
        below = fold.balance_at_highest
    if below is not None:
        proof.report(account_id, f"balance {below} is below zero")


def _check_attempts(proof: Proof, account_id: str, fold: _Fold) -> None:
    if fold.met_sequence > fold.highest_sequence:
        proof.report(account_id, f"a failed attempt stands at {fold.met_sequence}, beyond its entries")
    elif fold.met_sequence == fold.highest_sequence:
        for met in fold.met_balances - {fold.sum_minor}:
            proof.report(
                account_id,
                f"a failed attempt met the balance {met} at {fold.met_sequence}, "
                f"its entries sum to {fold.sum_minor}",
            )
