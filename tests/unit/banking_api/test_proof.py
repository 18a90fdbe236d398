"""The proof of the books: it holds for true ones in whatever order they are read, and finds each fault."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.books.chain import SignedRoot
from daemons.banking_api.books.checkpoints import Checkpoints
from daemons.banking_api.books.proof import LedgerProver, Proof, prove_ledger
from daemons.banking_api.books.proven_states import ProvenStates
from daemons.banking_api.books.snapshot import LedgerSnapshot, SnapshotOpener, StoredAccount, StoredRecord
from daemons.banking_api.ledger.account import Entry, settlement_account
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.ledger.seal import GENESIS, Seal, leaf_of, seal
from daemons.shared.findings import NAMED
from daemons.shared.http.event_sets import EventSetQuery
from daemons.shared.progress import Progress

NOW = datetime(2026, 11, 24, tzinfo=UTC)
BANK = settlement_account("EUR")


@dataclass
class Books:
    """Books as they are stored."""

    written: list[StoredAccount]
    records: list[Record]
    unexplained: UUID | None = None
    """A failed transaction that is stored without its failure."""
    explained: UUID | None = None
    """A completed transaction that is stored with a failure beside its entries."""
    strange: list[str] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)

    async def accounts(self) -> AsyncIterator[StoredAccount]:
        for account in self.written:
            yield account

    async def accounts_size(self) -> int:
        return len(self.written)

    async def journal(self) -> AsyncIterator[list[StoredRecord]]:
        records = sorted(self.records, key=lambda record: record.id)
        for start in range(0, len(records), 2):
            yield [self._stored(record) for record in records[start : start + 2]]

    def _stored(self, record: Record) -> StoredRecord:
        stored = stored_of(record)
        has_failure = (stored.has_failure and record.id != self.unexplained) or record.id == self.explained
        return stored._replace(has_failure=has_failure)

    async def journal_size(self) -> int:
        return len(self.records)

    async def seals(self, _after: int) -> AsyncIterator[tuple[Seal, list[UUID]]]:
        """Whole and true in any case: what is not is tried in test_chain."""
        head = GENESIS
        for record in sorted(self.records, key=lambda record: record.id):
            sealed = seal([record.id.bytes], head, at=NOW)
            yield sealed, [record.id]
            head = head.sealed(sealed)

    async def strangers(self) -> list[str]:
        return self.strange

    async def outbox_pending(self) -> int:
        return 7

    async def positions(self) -> dict[str, int]:
        return self.published


async def prove(books: Books, progress: Progress | None = None) -> Proof:
    # All that a proof asks of a snapshot.
    return await prove_ledger(cast("LedgerSnapshot", books), progress)


async def problems(books: Books) -> list[str]:
    proof = await prove(books)
    assert proof.holds is not bool(proof.mismatches)
    return [f"{found.id}: {found.problem}" for found in proof.mismatches]


class Writer:
    """Writes true books: `move` and `change` number and add up as the ledger does."""

    def __init__(self) -> None:
        self.openings: list[Record] = []
        self.records: list[Record] = []
        self.states: dict[str, tuple[int, int]] = {BANK: (0, 0)}

    def move(self, sender: str, receiver: str, minor: int) -> None:
        entries = (self._entry(sender, -minor), self._entry(receiver, minor))
        self.records.append(transaction(len(self.records), sender, receiver, minor, entries))

    def refuse(self, sender: str, receiver: str, minor: int) -> None:
        balance, sequence = self._state(sender)
        failed = transaction(len(self.records), sender, receiver, minor, ())
        failure = Failure("insufficient_funds", "no")
        attempt = entry(sender, 0, balance, sequence)
        self.records.append(failed._replace(failure=failure, attempt=attempt))

    def change(self, account: str) -> None:
        self.records.append(a_change(len(self.records), self._entry(account, 0)))

    def books(self, *, written_as_of: dict[str, int] | None = None) -> Books:
        """The books with every account written down as of now, or as of an earlier number."""
        as_of = written_as_of or {}
        written = [
            StoredAccount(
                account, "EUR", *self._state_at(account, as_of.get(account, self.states[account][1]))
            )
            for account in self.states
            if account != BANK
        ]
        return Books(written, [*self.openings, *self.records])

    def _entry(self, account: str, minor: int) -> Entry:
        balance, sequence = self._state(account)
        self.states[account] = balance + minor, sequence + 1
        return entry(account, minor, *self.states[account])

    def _state(self, account: str) -> tuple[int, int]:
        if account not in self.states:
            self.openings.append(a_change(1000 + len(self.openings), entry(account, 0, 0, 0)))
        return self.states.setdefault(account, (0, 0))

    def _state_at(self, account: str, sequence: int) -> tuple[int, int]:
        amounts = [
            entry.amount_minor
            for record in self.records
            for entry in record.entries
            if entry.account_id == account and entry.sequence <= sequence
        ]
        return sum(amounts), sequence


def stored_of(record: Record) -> StoredRecord:
    failed, data = record.failure is not None, record.data
    return StoredRecord(
        record.id,
        record.kind == "transfer",
        not failed,
        failed,
        list(record.entries),
        record.attempt,
        leaf_of(record.id.bytes),
        overdraws=data.get("overdraws", False),
        at_most=data.get("at_most"),
    )


def entry(account: str, minor: int, balance: int, sequence: int) -> Entry:
    return Entry(account, None, minor, balance, sequence)


def transaction(number: int, sender: str, receiver: str, minor: int, entries: tuple[Entry, ...]) -> Record:
    return Record(
        id=UUID(int=number),
        kind="transfer",
        initiator=UUID(int=1),
        idempotency_id=number.to_bytes(16),
        fingerprint=bytes(16),
        at=NOW,
        entries=entries,
        data={"from": sender, "to": receiver, "amount": minor, "currency": "EUR", "reference": None},
    )


def a_change(number: int, changed: Entry) -> Record:
    return transaction(number, "", "", 0, (changed,))._replace(kind="freeze", data={})


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
    records = [
        record._replace(
            entries=tuple(
                changed if (entry.account_id, entry.sequence) == (account, sequence) else entry
                for entry in record.entries
            )
        )
        for record in books.records
    ]
    return Books(books.written, records)


def with_written(books: Books, account: str, **changed: int) -> Books:
    written = [replace(found, **changed) if found.id == account else found for found in books.written]
    return Books(written, books.records)


# Each is one fault in the books above, and what is said of it.
FAULTS = {
    "a balance in the middle": (
        lambda books: with_entry(books, "A", 2, entry("A", -30, 71, 2)),
        "A: a balance after one of its entries is not the sum up to it",
    ),
    "a balance of a change": (
        lambda books: with_entry(books, "A", 3, entry("A", 0, 60, 3)),
        "A: a balance after one of its entries is not the sum up to it",
    ),
    "the newest balance": (
        lambda books: with_entry(books, "A", 5, entry("A", 5, 66, 5)),
        "A: balance 66, its entries sum to 65",
    ),
    "a gap": (
        lambda books: with_entry(books, "A", 5, entry("A", 5, 65, 6)),
        "A: its sequence 6 has gaps over 5 entries",
    ),
    "a gap that a double number fills": (
        lambda books: with_entry(books, "A", 4, entry("A", -10, 60, 3)),
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
        lambda books: with_entry(books, "A", 2, entry("A", -31, 70, 2)),
        "A: balance 65, its entries sum to 64",
    ),
    "an attempt that met another balance": (
        lambda books: Books(books.written, [*books.records[:-1], met(books, entry("A", 0, 66, 5))]),
        "A: a failed attempt met the balance 66 at 5, its entries sum to 65",
    ),
    "one of two attempts that met another balance": (
        lambda books: Books(books.written, [*books.records, met(books, entry("A", 0, 66, 5))]),
        "A: a failed attempt met the balance 66 at 5, its entries sum to 65",
    ),
    "an attempt beyond the entries": (
        lambda books: Books(books.written, [*books.records[:-1], met(books, entry("A", 0, 65, 7))]),
        "A: a failed attempt stands at 7, beyond its entries",
    ),
    "a transaction that makes money": (
        lambda books: with_entry(books, "B", 1, entry("B", 31, 31, 1)),
        f"{UUID(int=1)}: its entries do not sum to zero",
    ),
    "a completed transaction without entries": (
        lambda books: Books(books.written, [*books.records, transaction(9, "A", "B", 1, ())]),
        f"{UUID(int=9)}: its status does not fit its entries",
    ),
    "a failed transaction that moved money": (
        lambda books: with_failure(books, 1, Failure("insufficient_funds", "no")),
        f"{UUID(int=1)}: its status does not fit its entries",
    ),
    "a failed transaction without a reason": (
        lambda books: Books(books.written, books.records, unexplained=books.records[-1].id),
        f"{UUID(int=5)}: its status does not fit its entries",
    ),
    "a completed transaction with a reason": (
        lambda books: Books(books.written, books.records, explained=UUID(int=0)),
        f"{UUID(int=0)}: its status does not fit its entries",
    ),
    "a customer below zero": (
        lambda books: overdrawn(),
        "D: balance -5 is below zero",
    ),
    "an account that is gone": (
        lambda books: Books([found for found in books.written if found.id != "C"], books.records),
        "C: has entries and no account",
    ),
}


def with_failure(books: Books, number: int, failure: Failure) -> Books:
    changed = [
        record._replace(failure=failure) if record.id == UUID(int=number) else record
        for record in books.records
    ]
    return Books(books.written, changed)


def overdrawn() -> Books:
    writer = some_books()
    writer.move("D", "A", 5)
    return writer.books()


def twice(books: Books) -> list[Record]:
    [change] = [record for record in books.records if record.id == UUID(int=2)]
    return [change._replace(id=UUID(int=99))]


def met(books: Books, attempt: Entry) -> Record:
    failed = books.records[-1]
    return failed._replace(attempt=attempt)


async def test_true_books_hold() -> None:
    writer = some_books()
    writer.refuse("B", "A", 1000)
    proof = await prove(writer.books())
    assert (proof.holds, proof.mismatches, proof.mismatch_count, proof.accounts) == (True, [], 0, 4)
    assert (proof.completed, proof.failed, proof.outbox_pending) == (4, 2, 7)
    assert list(proof.currencies) == ["EUR"]
    total = proof.currencies["EUR"]
    assert (total.sum_minor, total.accounts, total.entries) == (0, 4, 8)


async def test_balances_that_do_not_sum_to_zero_are_found_even_if_nothing_else_is_wrong() -> None:
    """One side of a movement in another currency: each account by itself is true."""
    writer = some_books()
    books = writer.books()
    books.written = [replace(found, currency="USD") if found.id == "C" else found for found in books.written]
    proof = await prove(books)
    assert (proof.mismatches, proof.holds) == ([], False)
    sums = {currency: total.sum_minor for currency, total in proof.currencies.items()}
    assert sums == {"EUR": -10, "USD": 10}


async def test_a_customers_account_at_zero_and_a_bank_below_it_are_fine() -> None:
    writer = Writer()
    writer.move(BANK, "A", 5)
    writer.move("A", BANK, 5)
    writer.move(BANK, "B", 5)
    assert await problems(writer.books()) == []


async def test_nothing_is_published_beyond_the_last_seal() -> None:
    writer = Writer()
    writer.move(BANK, "A", 5)
    books = writer.books()
    books.published = {"AccountFundedPayload": len(books.records), "TransactionCompleted": 1}
    assert await problems(books) == []
    books.published["AccountFundedPayload"] += 1
    [found] = await problems(books)
    assert found.startswith("positions: AccountFundedPayload is published up to seal")


async def test_all_contradictions_are_counted_and_the_first_are_shown() -> None:
    writer = Writer()
    for number in range(NAMED + 3):
        writer.change(f"{number:03}")
    books = writer.books()
    books.written = []
    proof = await prove(books)
    assert proof.mismatch_count == NAMED + 3
    assert [found.id for found in proof.mismatches] == [f"{n:03}" for n in range(NAMED)]


async def test_progress_tells_each_phase_and_what_of_it_is_done() -> None:
    seen: list[tuple[str, int, int]] = []

    class Watched(Progress):
        def enter(self, phase: str, *, total: int) -> None:
            seen.append((self.phase, self.done, self.total))
            super().enter(phase, total=total)

    progress = Watched()
    await prove(some_books().books(), progress)
    assert seen == [("waiting", 0, 0), ("accounts", 3, 3), ("journal", 9, 9), ("sums", 4, 4)]
    assert (progress.phase, progress.total) == ("outbox", 1)


async def test_a_long_proof_lets_others_have_their_turn() -> None:
    """In each phase, after every fifty of what it goes through."""
    writer = Writer()
    for number in range(200):
        writer.change(f"{number:03}")
    progress, phases = Progress(), set()

    async def watch() -> None:
        while True:
            phases.add((progress.phase, progress.done))
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await prove(writer.books(), progress)
    watching.cancel()
    assert {(phase, done) for phase, done in phases if phase in {"accounts", "sums"}} >= {
        (phase, done) for phase in ("accounts", "sums") for done in (50, 100, 150, 200)
    }
    assert ("accounts", 51) not in phases


async def test_a_number_that_was_followed_already_is_torn_even_if_it_is_the_last() -> None:
    writer = Writer()
    writer.change("A")
    books = writer.books()
    books.records.append(a_change(9, entry("A", 0, 0, 1)))
    assert "A: its sequence 1 has gaps over 2 entries" in await problems(books)


async def test_a_proof_waits_for_the_one_before_it() -> None:
    """Both read everything: together they would take the memory and the time of two."""
    open_now, most = 0, 0

    class Opener:
        @asynccontextmanager
        async def open(self) -> AsyncIterator[Books]:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            yield some_books().books()
            open_now -= 1

    class Unsigned:
        async def signed_roots(self) -> tuple[list[SignedRoot], list[tuple[str, str]]]:
            return [], []

    prover = LedgerProver(
        cast("SnapshotOpener", Opener()),
        lambda: cast("Checkpoints", Unsigned()),
        # A proof that signs nothing keeps nothing.
        cast("ProvenStates", None),
    )
    progress, everything = Progress(), EventSetQuery()
    proofs = await asyncio.gather(prover.prove(progress, everything), prover.prove(Progress(), everything))
    assert [proof.holds for proof in proofs] == [True, True]
    assert (most, progress.phase) == (1, "outbox")


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
        books = with_entry(books, "A", sequence, entry("A", 0, 0, 2))
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
    # The order in which they are read is that of their ids.
    in_any_order = data.draw(st.permutations(books.records))
    books.records = [record._replace(id=UUID(int=place)) for place, record in enumerate(in_any_order)]
    assert await problems(books) == []
    entries = [entry for record in books.records for entry in record.entries if entry.sequence]
    if entries:
        wrong = data.draw(st.sampled_from(entries))
        changed = wrong._replace(balance_after_minor=wrong.balance_after_minor + 1)
        assert await problems(with_entry(books, wrong.account_id, wrong.sequence, changed)) != []


TALLY = "tally:of:00000000-0000-0000-0000-000000000001"


def taken_back(writer: Writer, minor: int, *, at_most: int, overdraws: bool = False) -> None:
    """What B got goes back to A, and is counted."""
    number = len(writer.records)
    entries = (writer._entry("B", -minor), writer._entry("A", minor), writer._entry(TALLY, minor))
    made = transaction(number, "B", "A", minor, entries)
    writer.records.append(made._replace(data={**made.data, "at_most": at_most, "overdraws": overdraws}))


def counted_books(*, overdraws: bool = True) -> Writer:
    """A pays B 30, B has 5 left of it, and 30 are taken back in two parts."""
    writer = Writer()
    writer.states[TALLY] = (0, 0)
    writer.move(BANK, "A", 100)
    writer.move("A", "B", 30)
    writer.move("B", "C", 25)
    taken_back(writer, 5, at_most=30)
    taken_back(writer, 25, at_most=30, overdraws=overdraws)
    return writer


def of_customers(books: Books) -> Books:
    """Tallies are written down nowhere."""
    return Books([one for one in books.written if one.id != TALLY], books.records)


async def test_what_was_taken_back_by_force_holds() -> None:
    writer = counted_books()
    assert await problems(of_customers(writer.books())) == []
    # Money may come in, and leave again once there is some.
    writer.move("A", "B", 30)
    writer.move("B", "C", 5)
    assert await problems(of_customers(writer.books())) == []
    # What else is taken away is found, even when there is money again.
    writer.move("B", "C", 1)
    writer.move("A", "B", 20)
    assert await problems(of_customers(writer.books())) == ["B: balance -1 is below zero"]


async def test_what_is_taken_below_zero_without_force_is_found() -> None:
    found = await problems(of_customers(counted_books(overdraws=False).books()))
    assert found == ["B: balance -25 is below zero"]


async def test_more_taken_back_than_was_paid_is_found() -> None:
    writer = counted_books()
    taken_back(writer, 1, at_most=30, overdraws=True)
    assert await problems(of_customers(writer.books())) == [f"{UUID(int=5)}: {TALLY} exceeds 30"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            entry(TALLY, 25, 29, 2),
            [
                "balance 29, its entries sum to 30",
                "a balance after one of its entries is not the sum up to it",
            ],
        ),
        (entry(TALLY, 25, 30, 3), ["its sequence 3 has gaps over 2 entries"]),
    ],
)
async def test_a_count_is_followed_as_an_account_is(changed: Entry, told: list[str]) -> None:
    books = with_entry(of_customers(counted_books().books()), TALLY, 2, changed)
    assert await problems(books) == [f"{TALLY}: {one}" for one in told]
