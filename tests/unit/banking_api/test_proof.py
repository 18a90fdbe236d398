"""The proof of the books: it holds for true ones in whatever order they are read, and finds each fault."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.domain.journal import (
    Entry,
    Failure,
    JournalTransaction,
    TransactionKind,
    settlement_account,
)
from daemons.banking_api.services.proof import Proof, prove_ledger
from daemons.banking_api.storage.journal_documents import AccountChange
from daemons.banking_api.storage.ledger_snapshot import LedgerSnapshot, Posting, StoredAccount

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BANK = settlement_account("EUR")
Record = JournalTransaction | AccountChange


@dataclass
class Books:
    """Books as they are stored."""

    written: list[StoredAccount]
    records: list[Record]

    async def accounts(self) -> AsyncIterator[StoredAccount]:
        for account in self.written:
            yield account

    async def accounts_size(self) -> int:
        return len(self.written)

    async def journal(self) -> AsyncIterator[list[Posting]]:
        for start in range(0, len(self.records), 2):
            yield [posting_of(record) for record in self.records[start : start + 2]]

    async def journal_size(self) -> int:
        return len(self.records)

    async def outbox_pending(self) -> int:
        return 0


async def prove(books: Books) -> Proof:
    # All that a proof asks of a snapshot.
    return await prove_ledger(cast("LedgerSnapshot", books))


async def problems(books: Books) -> list[str]:
    proof = await prove(books)
    assert proof.holds is not bool(proof.mismatches)
    return [f"{found.id}: {found.problem}" for found in proof.mismatches]


class Writer:
    """Writes true books: `move` and `change` number and add up as the ledger does."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.states: dict[str, tuple[int, int]] = {BANK: (0, 0)}

    def move(self, sender: str, receiver: str, minor: int) -> None:
        entries = (self._entry(sender, -minor), self._entry(receiver, minor))
        self.records.append(transaction(len(self.records), sender, receiver, minor, entries))

    def refuse(self, sender: str, receiver: str, minor: int) -> None:
        balance, sequence = self.states.setdefault(sender, (0, 0))
        failed = transaction(len(self.records), sender, receiver, minor, ())
        failure = Failure("insufficient_funds", "no")
        attempt = Entry(sender, 0, balance, sequence)
        self.records.append(failed._replace(failure=failure, attempt=attempt))

    def change(self, account: str) -> None:
        entry = self._entry(account, 0)
        self.records.append(AccountChange(UUID(int=len(self.records)), "frozen", entry, NOW))

    def books(self, *, written_as_of: dict[str, int] | None = None) -> Books:
        """The books with every account written down as of now, or as of an earlier number."""
        as_of = written_as_of or {}
        written = [
            StoredAccount(
                account, "EUR", *self._state_at(account, as_of.get(account, self.states[account][1]))
            )
            for account in self.states
        ]
        return Books(written, list(self.records))

    def _entry(self, account: str, minor: int) -> Entry:
        balance, sequence = self.states.get(account, (0, 0))
        self.states[account] = balance + minor, sequence + 1
        return Entry(account, minor, *self.states[account])

    def _state_at(self, account: str, sequence: int) -> tuple[int, int]:
        amounts = [
            entry.amount_minor
            for record in self.records
            for entry in entries_of(record)
            if entry.account_id == account and entry.sequence <= sequence
        ]
        return sum(amounts), sequence


def posting_of(record: Record) -> Posting:
    if isinstance(record, AccountChange):
        return Posting(record.id, True, False, False, [record.entry], None)
    failed = record.failure is not None
    return Posting(record.id, False, not failed, failed, list(record.entries), record.attempt)


def entries_of(record: Record) -> Sequence[Entry]:
    return (record.entry,) if isinstance(record, AccountChange) else record.entries


def transaction(
    number: int, sender: str, receiver: str, minor: int, entries: tuple[Entry, ...]
) -> JournalTransaction:
    return JournalTransaction(
        id=UUID(int=number),
        kind=TransactionKind.TRANSFER,
        initiator=UUID(int=1),
        idempotency_id=number.to_bytes(16),
        fingerprint=bytes(16),
        from_account=sender,
        to_account=receiver,
        from_owner=None,
        to_owner=None,
        amount_minor=minor,
        currency="EUR",
        reference=None,
        entries=entries,
        failure=None,
        created_at=NOW,
    )


def some_books() -> Writer:
    """A has the numbers 1 to 5 with balances 100, 70, 70, 60, 65."""
    writer = Writer()
    writer.move(BANK, "A", 100)
    writer.move("A", "B", 30)
    writer.change("A")
    writer.move("A", "C", 10)
    writer.move("B", "A", 5)
    writer.refuse("A", "B", 1000)
    return writer


def with_entry(books: Books, account: str, sequence: int, changed: Entry) -> Books:
    """The books with one entry replaced by another."""
    records: list[Record] = []
    for record in books.records:
        if isinstance(record, AccountChange):
            is_it = (record.entry.account_id, record.entry.sequence) == (account, sequence)
            records.append(record._replace(entry=changed) if is_it else record)
        else:
            entries = tuple(
                changed if (entry.account_id, entry.sequence) == (account, sequence) else entry
                for entry in record.entries
            )
            records.append(record._replace(entries=entries))
    return Books(books.written, records)


def with_written(books: Books, account: str, **changed: int) -> Books:
    written = [replace(found, **changed) if found.id == account else found for found in books.written]
    return Books(written, books.records)


# Each is one fault in the books above, and what is said of it.
FAULTS = {
    "a balance in the middle": (
        lambda books: with_entry(books, "A", 2, Entry("A", -30, 71, 2)),
        "A: a balance after one of its entries is not the sum up to it",
    ),
    "a balance of a change": (
        lambda books: with_entry(books, "A", 3, Entry("A", 0, 60, 3)),
        "A: a balance after one of its entries is not the sum up to it",
    ),
    "the newest balance": (
        lambda books: with_entry(books, "A", 5, Entry("A", 5, 66, 5)),
        "A: balance 66, its entries sum to 65",
    ),
    "a gap": (
        lambda books: with_entry(books, "A", 5, Entry("A", 5, 65, 6)),
        "A: its sequence 6 has gaps over 5 entries",
    ),
    "a gap that a double number fills": (
        lambda books: with_entry(books, "A", 4, Entry("A", -10, 60, 3)),
        "A: its sequence 5 has gaps over 5 entries",
    ),
    "a number given twice": (
        lambda books: Books(books.written, [*books.records, *twice(books)]),
        "A: its sequence 5 has gaps over 6 entries",
    ),
    "written down ahead": (
        lambda books: with_written(books, "A", sequence=6),
        "A: is written down as of 6, beyond its entries: gaps",
    ),
    "written down wrongly": (
        lambda books: with_written(books, "A", balance_minor=64),
        "A: balance 64 written down as of 5, its entries sum to 65",
    ),
    "written down wrongly and behind": (
        lambda books: with_written(books, "A", sequence=2),
        "A: balance 65 written down as of 2, its entries sum to 70",
    ),
    "an amount": (
        lambda books: with_entry(books, "A", 2, Entry("A", -31, 70, 2)),
        "A: balance 65, its entries sum to 64",
    ),
    "an attempt that met another balance": (
        lambda books: Books(books.written, [*books.records[:-1], met(books, Entry("A", 0, 66, 5))]),
        "A: a failed attempt met the balance 66 at 5, its entries sum to 65",
    ),
    "an attempt beyond the entries": (
        lambda books: Books(books.written, [*books.records[:-1], met(books, Entry("A", 0, 65, 7))]),
        "A: a failed attempt stands at 7, beyond its entries",
    ),
    "an account that is gone": (
        lambda books: Books([found for found in books.written if found.id != "C"], books.records),
        "C: has entries and no account",
    ),
}


def twice(books: Books) -> list[Record]:
    change = books.records[2]
    assert isinstance(change, AccountChange)
    return [change._replace(id=UUID(int=99))]


def met(books: Books, attempt: Entry) -> JournalTransaction:
    failed = books.records[-1]
    assert isinstance(failed, JournalTransaction)
    return failed._replace(attempt=attempt)


async def test_true_books_hold() -> None:
    proof = await prove(some_books().books())
    assert (proof.holds, proof.mismatches, proof.accounts) == (True, [], 4)
    assert (proof.completed, proof.failed) == (4, 1)
    assert proof.currencies["EUR"].sum_minor == 0


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("order", ["as written", "backwards", "mixed"])
async def test_a_fault_is_found_in_any_order(fault: str, order: str) -> None:
    change, says = FAULTS[fault]
    books = change(some_books().books())
    if order == "backwards":
        books.records.reverse()
    elif order == "mixed":
        books.records = books.records[1::2] + books.records[::2]
    assert says in await problems(books)


async def test_faults_whose_numbers_add_up_are_found() -> None:
    """Numbers 2, 2, 2, 4 sum to what 1, 2, 3, 4 sum to."""
    writer = Writer()
    for _ in range(4):
        writer.change("A")
    books = writer.books()
    for sequence in (1, 3):
        books = with_entry(books, "A", sequence, Entry("A", 0, 0, 2))
    assert "A: its sequence 4 has gaps over 4 entries" in await problems(books)


async def test_what_is_written_down_may_lag() -> None:
    writer = some_books()
    assert await problems(writer.books(written_as_of={"A": 0, "B": 1, BANK: 0})) == []
    assert await problems(writer.books(written_as_of={"A": 2, "C": 0})) == []


@given(data=st.data())
async def test_true_books_hold_in_any_order_and_one_wrong_balance_does_not(data: st.DataObject) -> None:
    writer = Writer()
    names = ["A", "B", "C"]
    for _ in range(data.draw(st.integers(1, 15))):
        receiver = data.draw(st.sampled_from(names))
        act = data.draw(st.sampled_from(["move", "change", "refuse"]))
        if act == "change":
            writer.change(receiver)
        elif act == "refuse":
            writer.refuse(receiver, BANK, 5)
        else:
            writer.move(BANK, receiver, data.draw(st.integers(1, 50)))
    as_of = {name: data.draw(st.integers(0, state[1])) for name, state in writer.states.items()}
    books = writer.books(written_as_of=as_of)
    books.records = data.draw(st.permutations(books.records))
    assert await problems(books) == []
    entries = [entry for record in books.records for entry in entries_of(record)]
    if entries:
        wrong = data.draw(st.sampled_from(entries))
        changed = wrong._replace(balance_after_minor=wrong.balance_after_minor + 1)
        assert await problems(with_entry(books, wrong.account_id, wrong.sequence, changed)) != []
