"""Proves the books: every figure is computed again from the entries and held against what is stored.

The journal is read once, in whatever order it comes. What must hold of an account's history in the order of
its numbers is therefore said in sums that do not depend on order: n different numbers up to n have no gap,
and the balances after n entries sum to the sum of each amount times how many entries follow it, itself
included.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from daemons.banking_api.domain.journal import Entry, JournalTransaction, is_system_account
from daemons.banking_api.storage.journal_documents import AccountChange
from daemons.banking_api.storage.ledger_snapshot import LedgerSnapshot, StoredAccount
from daemons.contracts.digest import EventSetDigest

MISMATCHES_REPORTED = 100


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
    """What an account's entries and changes say; `written` is what was written down, with its number."""

    written: StoredAccount | None = None
    sum_minor: int = 0
    sum_when_written: int = 0
    count: int = 0
    entries: int = 0
    highest_sequence: int = 0
    sum_of_sequences: int = 0
    balance_at_highest: int = 0
    sum_of_balances: int = 0
    sum_of_weighted: int = 0

    def add(self, entry: Entry) -> None:
        """Take in one entry, in any order."""
        self.sum_minor += entry.amount_minor
        if self.written is not None and entry.sequence <= self.written.sequence:
            self.sum_when_written += entry.amount_minor
        self.count += 1
        self.sum_of_sequences += entry.sequence
        self.sum_of_balances += entry.balance_after_minor
        self.sum_of_weighted += entry.amount_minor * entry.sequence
        if entry.sequence > self.highest_sequence:
            self.highest_sequence = entry.sequence
            self.balance_at_highest = entry.balance_after_minor


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


async def prove_ledger(snapshot: LedgerSnapshot) -> Proof:
    """Fold the whole journal and compare it with the accounts, both as of one moment."""
    proof = Proof()
    folds: dict[str, _Fold] = defaultdict(_Fold)
    async for account in snapshot.accounts():
        folds[account.id] = _Fold(account)
    async for record in snapshot.journal():
        if isinstance(record, AccountChange):
            folds[record.entry.account_id].add(record.entry)
        else:
            _fold_transaction(proof, folds, record)
    for account_id, fold in folds.items():
        _check_account(proof, account_id, fold)
    proof.outbox_pending = await snapshot.outbox_pending()
    return proof


def _fold_transaction(proof: Proof, folds: dict[str, _Fold], transaction: JournalTransaction) -> None:
    proof.events.add(transaction.id)
    completed = transaction.failure is None
    proof.completed += completed
    proof.failed += not completed
    if sum(entry.amount_minor for entry in transaction.entries) != 0:
        proof.report(str(transaction.id), "its entries do not sum to zero")
    if completed != bool(transaction.entries):
        proof.report(str(transaction.id), "its status does not fit its entries")
    for entry in transaction.entries:
        fold = folds[entry.account_id]
        fold.add(entry)
        fold.entries += 1


def _check_account(proof: Proof, account_id: str, fold: _Fold) -> None:
    written, balance = fold.written, fold.balance_at_highest
    if written is None:
        proof.report(account_id, "has entries and no account")
        return
    total = proof.currencies[written.currency]
    total.sum_minor += balance
    total.accounts += 1
    total.entries += fold.entries
    proof.accounts += 1
    if fold.sum_minor != balance:
        proof.report(account_id, f"balance {balance}, its entries sum to {fold.sum_minor}")
    # n different numbers up to n: none is missing and none stands twice.
    expected = fold.count * (fold.count + 1) // 2
    if fold.highest_sequence != fold.count or fold.sum_of_sequences != expected:
        proof.report(account_id, f"its sequence {fold.highest_sequence} has gaps over {fold.count} entries")
    elif fold.sum_of_balances != fold.sum_minor * (fold.count + 1) - fold.sum_of_weighted:
        proof.report(account_id, "a balance after one of its entries is not the sum up to it")
    if written.sequence > fold.highest_sequence:
        proof.report(account_id, f"is written down as of {written.sequence}, beyond its entries: gaps")
    if written.balance_minor != fold.sum_when_written:
        proof.report(
            account_id,
            f"balance {written.balance_minor} written down as of {written.sequence}, "
            f"its entries sum to {fold.sum_when_written}",
        )
    if balance < 0 and not is_system_account(account_id):
        proof.report(account_id, f"balance {balance} is below zero")
