"""Proves the books: every figure is computed again from the entries and held against what is stored.

The journal is read once, in the order of its ids, which is nearly that of the accounts' numbers. An entry
that comes before its turn waits for it, so that each account's history is followed number by number and every
balance after an entry is compared with the sum up to it.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import structlog

from daemons.banking_api.books.chain import ChainCheck, SignedRoot
from daemons.banking_api.books.checkpoints import Checkpoints, StoredCheckpoint
from daemons.banking_api.books.proven_states import AccountState, ProvenState, ProvenStates
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
from daemons.contracts.wire import format_instant
from daemons.shared.findings import Findings
from daemons.shared.http.event_sets import EventSetQuery
from daemons.shared.progress import Progress
from daemons.shared.tasks import end_task

_BETWEEN_PAUSES = 50
"""So many are folded in half a millisecond; then other requests have their turn."""

_EARLY_LIMIT = 100_000
"""How many entries of an account may wait for their turn; where there are more, one is missing."""

_NEWEST_AT_ONCE = 500
BatchT = TypeVar("BatchT")
_log = structlog.get_logger()


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
    before: AccountState | None = None
    """What an earlier proof left, if this one goes on from it."""

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


class CannotGoOnError(Exception):
    """A proof cannot go on from where an earlier one ended; it must go through all of the journal."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an earlier proof ended: what it signed, and the state that the signature vouches for."""

    checkpoint: StoredCheckpoint
    root: bytes
    records: int
    state: ProvenState


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
    start: Start | None = None
    """From where the journal was read; None if from its beginning."""
    state: ProvenState | None = None
    """The state of all accounts at that end."""
    last_id: UUID = field(default=UUID(int=0))
    newest: list[tuple[UUID, bytes]] = field(default_factory=list)
    """The records of the newest time, with the digests of what their events tell."""
    checkpoint: StoredCheckpoint | None = None
    """What was signed of it."""

    @property
    def holds(self) -> bool:
        """Tell whether every sum is zero and nothing contradicts the entries."""
        return self.mismatch_count == 0 and all(total.sum_minor == 0 for total in self.currencies.values())


class LedgerProver:
    """Proves one ledger; one proof at a time, for it reads everything."""

    def __init__(
        self, opener: SnapshotOpener, checkpoints: Callable[[], Checkpoints], states: ProvenStates
    ) -> None:
        self._opener = opener
        self._checkpoints = checkpoints
        self._states = states
        self._one_at_a_time = asyncio.Lock()

    async def prove(self, progress: Progress, scope: EventSetQuery) -> Proof:
        """Prove the books as of the moment at which this proof begins."""
        async with self._one_at_a_time:
            return await self._prove(progress, scope, None)

    async def prove_and_sign(self, progress: Progress, *, since: int | None = None) -> Proof:
        """Prove the books, and sign the journal's end if they hold.

        Args:
            progress: is told how far it is.
            since: the size of the checkpoint at which an earlier proof ended, to go on from there. If what
                it left is gone, or was changed, all of the journal is read.
        """
        async with self._one_at_a_time:
            start = None if since is None else await self._end_of_earlier(since)
            try:
                proof = await self._prove(progress, EventSetQuery(), start)
            except CannotGoOnError as error:
                _log.warning("the proof goes through all of the journal", reason=str(error))
                proof = await self._prove(progress, EventSetQuery(), None)
            if proof.holds and proof.state is not None:
                progress.enter("signing", total=1)
                # Only what goes on from a state that was right may leave parts of it as they are.
                digest = await self._states.keep(proof.state, rewrite=proof.start is None)
                try:
                    proof.checkpoint = await self._checkpoints().make(proof.head, states=digest)
                except ConflictError as error:
                    proof.report("checkpoint", error.message)
        return proof

    async def _prove(self, progress: Progress, scope: EventSetQuery, start: Start | None) -> Proof:
        # Read before the journal, which then has all that they cover.
        signed, faults = await self._checkpoints().signed_roots()
        async with self._opener.open() as snapshot:
            proof = await prove_ledger(snapshot, progress, scope, signed=signed, start=start)
        for name, problem in faults:
            proof.report(name, problem)
        return proof

    async def _end_of_earlier(self, size: int) -> Start | None:
        """Return where an earlier proof ended; None if what it left is gone or was changed."""
        checkpoint = await self._checkpoints().newest(proved_at=size)
        if checkpoint is None:
            return None
        try:
            signed = self._checkpoints().keys.open(checkpoint.note).checkpoint
        except ValueError:
            return None
        state = None if signed.states is None else await self._states.load(signed.states)
        if state is None or signed.size != checkpoint.size:
            return None
        return Start(checkpoint, signed.root, signed.records, state)


async def prove_ledger(
    snapshot: LedgerSnapshot,
    progress: Progress | None = None,
    scope: EventSetQuery | None = None,
    *,
    signed: Sequence[SignedRoot] = (),
    start: Start | None = None,
) -> Proof:
    """Fold the journal and compare it with the accounts, both as of one moment.

    With a start, only what came after it is read of the journal.

    Raises:
        CannotGoOnError: it must be read from its beginning.
    """
    progress, scope = progress or Progress(), scope or EventSetQuery()
    if start is not None:
        scope = EventSetQuery(since=format_instant(start.state.as_of))
    proof = Proof(scope=scope, events=scope.digest(), start=start)
    folds: dict[str, _Fold] = defaultdict(_Fold)
    head = GENESIS if start is None else await _head_of(snapshot, start)
    if start is not None:
        _begin_at(proof, folds, start.state)
    progress.enter("accounts", total=await snapshot.accounts_size())
    async for account in snapshot.accounts():
        await _take_written(snapshot, folds[account.id], account)
        progress.done += 1
        if progress.done % _BETWEEN_PAUSES == 0:
            # Accounts that have arrived are read without waiting.
            await asyncio.sleep(0)
    head = await _follow_journal(proof, folds, snapshot, progress, signed=signed, head=head)
    proof.head = head
    for id_ in await snapshot.strangers():
        proof.report(id_, "is in the journal and is neither a record nor a seal")
    if start is not None:
        await _check_newest(proof, snapshot, folds, progress)
    progress.enter("sums", total=len(folds))
    for account_id, fold in folds.items():
        _check_account(proof, account_id, fold)
        progress.done += 1
        if progress.done % _BETWEEN_PAUSES == 0:
            await asyncio.sleep(0)
    proof.state = _state_of(proof, folds)
    progress.enter("outbox", total=1)
    await _check_outbox(proof, snapshot, last_seal=head.number)
    return proof


async def _follow_journal(
    proof: Proof,
    folds: dict[str, "_Fold"],
    snapshot: LedgerSnapshot,
    progress: Progress,
    *,
    signed: Sequence[SignedRoot],
    head: Head,
) -> Head:
    """Fold all records behind the head and check them against their seals; returns where the chain ends."""
    start = proof.start
    read = 0 if start is None else start.records + head.number
    progress.enter("journal", total=max(0, await snapshot.journal_size() - read))
    chain = ChainCheck(proof.report, signed, start=head)
    seals = _Seals(snapshot.seals(head.number))
    journal = (
        snapshot.journal() if start is None else snapshot.journal_after(head.number, start.state.last_id)
    )
    async with aclosing(seals), aclosing(_one_ahead(journal)) as batches:
        async for batch in batches:
            for place in range(0, len(batch), _BETWEEN_PAUSES):
                for record in batch[place : place + _BETWEEN_PAUSES]:
                    _fold_record(proof, folds, record)
                    if isinstance(record.id, UUID):
                        chain.add(record.id, record.leaf)
                await asyncio.sleep(0)
            progress.done += len(batch)
            await seals.check(chain, to_the_end=False)
        await seals.check(chain, to_the_end=True)
    chain.end()
    return chain.head


async def _head_of(snapshot: LedgerSnapshot, start: Start) -> Head:
    try:
        head = await snapshot.head_at(start.checkpoint.size, start.records)
    except ConflictError as error:
        raise CannotGoOnError(error.message) from error
    if head.root != start.root:
        raise CannotGoOnError("a seal before the last checkpoint was changed")
    return head


def _begin_at(proof: Proof, folds: dict[str, "_Fold"], state: ProvenState) -> None:
    """Take over what an earlier proof has folded."""
    proof.completed, proof.failed = state.completed, state.failed
    proof.as_of, proof.last_id, proof.newest = state.as_of, state.last_id, list(state.newest)
    for id_, digest in state.newest:
        proof.events.add_digest(id_, digest)
    for account_id, before in state.accounts.items():
        fold = folds[account_id]
        fold.before = before
        fold.sum_minor = fold.balance_at_highest = fold.followed_minor = before.balance_minor
        fold.highest_sequence = fold.followed = before.sequence
        fold.entries, fold.may_be_below_zero = before.entries, before.may_be_below_zero
        if before.terms is not None:
            fold.openings = 1
            fold.changes[-1] = before.terms


async def _take_written(snapshot: LedgerSnapshot, fold: "_Fold", account: StoredAccount) -> None:
    """Note what is written down, and what the entries before the start sum to under its number."""
    fold.written, before = account, fold.before
    if before is None:
        return
    if account.sequence >= before.sequence:
        fold.sum_when_written = before.balance_minor
    elif before.written is not None and account.sequence == before.written[0]:
        fold.sum_when_written = before.written[1]
    else:
        # Written down since, but as of a number before the start.
        balance = await snapshot.balance_at(account.id, account.sequence)
        fold.sum_when_written = 0 if balance is None else balance


async def _check_newest(
    proof: Proof, snapshot: LedgerSnapshot, folds: Mapping[str, "_Fold"], progress: Progress
) -> None:
    """Compare what the ledger would go on from with what was proved: nothing was added behind the start."""
    ids = sorted(folds)
    progress.enter("newest", total=len(ids))
    for at in range(0, len(ids), _NEWEST_AT_ONCE):
        some = ids[at : at + _NEWEST_AT_ONCE]
        for account_id, (balance, sequence) in (await snapshot.newest(some)).items():
            fold = folds[account_id]
            if (balance, sequence) != (fold.balance_at_highest, fold.highest_sequence):
                proof.report(
                    account_id,
                    f"its newest entry is number {sequence} with the balance {balance}; proved were number "
                    f"{fold.highest_sequence} and {fold.balance_at_highest}",
                )
        progress.done += len(some)


def _state_of(proof: Proof, folds: Mapping[str, "_Fold"]) -> ProvenState:
    accounts = {
        account_id: AccountState(
            fold.balance_at_highest,
            fold.highest_sequence,
            fold.entries,
            fold.may_be_below_zero,
            None if fold.written is None else (fold.written.sequence, fold.written.balance_minor),
            fold.terms() if fold.written is not None else None,
        )
        for account_id, fold in folds.items()
    }
    return ProvenState(proof.completed, proof.failed, proof.as_of, proof.last_id, proof.newest, accounts)


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
    _tell_of(proof, record)
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


def _tell_of(proof: Proof, record: StoredRecord) -> None:
    """Digest what the record's event tells, and note what the next proof goes on from."""
    if proof.start is not None and record.at < proof.start.state.as_of:
        raise CannotGoOnError(f"record {record.id} is dated before what was proved last")
    if record.at > proof.as_of:
        proof.as_of = record.at
        proof.newest.clear()
    proof.last_id = max(proof.last_id, record.id)
    if proof.scope.covers(record.at):
        digest = proof.events.add(record.id, record.content)
        if record.at == proof.as_of:
            proof.newest.append((record.id, digest))


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
