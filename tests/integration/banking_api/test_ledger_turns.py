"""Processes that know of each other take turns: each group is decided once, and accounts need no reading."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.journal import TransactionKind, adjustment_account
from daemons.banking_api.storage import ledger_turns

from daemons.shared.mongo import Document, transaction_options
from tests.support.ledgers import (
    BANK,
    CURRENCY,
    LedgerProcess,
    funding,
    ledger_process,
    told,
    transfer,
    undone,
)
from tests.support.waiting import eventually

Pair = tuple[LedgerProcess, LedgerProcess]


@pytest_asyncio.fixture
async def processes(mongo_uri: str, database_name: str) -> AsyncIterator[Pair]:
    """Two processes that take turns over a ledger of their own."""
    async with (
        ledger_process(mongo_uri, database_name, alone=False) as one,
        ledger_process(mongo_uri, database_name, alone=False) as other,
    ):
        yield one, other
        proof = await one.prove()
        assert proof.holds, proof.mismatches
        await one.database.client.drop_database(database_name)


class Reads:
    """Counts the accounts that a process reads, in either way, and how often its groups are decided."""

    def __init__(self, process: LedgerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = self.exact = self.attempts = 0
        accounts, post = process.ledger._accounts._stored, process.ledger._post
        as_written, exact = accounts.as_written, accounts.exact

        async def counted_as_written(ids: set[str], *rest: object) -> object:
            self.written += len(ids)
            return await as_written(ids, *rest)  # type: ignore[arg-type]

        async def counted_exact(ids: set[str], *rest: object) -> object:
            self.exact += len(ids)
            return await exact(ids, *rest)  # type: ignore[arg-type]

        async def counted_post(*arguments: object) -> object:
            self.attempts += 1
            return await post(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(accounts, "as_written", counted_as_written)
        monkeypatch.setattr(accounts, "exact", counted_exact)
        monkeypatch.setattr(process.ledger, "_post", counted_post)


async def _notes(process: LedgerProcess) -> list[Document]:
    return await process.database["turns"].find({"turn": {"$exists": True}}).sort("turn").to_list()


async def test_what_one_has_posted_the_other_knows_without_reading(
    processes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    for process in processes:
        assert await process.pay(a, b, 1) == "completed"
    reads = [Reads(process, monkeypatch) for process in processes]
    for turn in range(8):
        assert await processes[turn % 2].pay(*((a, b) if turn % 3 else (b, a)), 1) == "completed"
    assert [(found.written, found.exact, found.attempts) for found in reads] == [(0, 0, 4), (0, 0, 4)]
    exact = await one.exact(a, b)
    assert other.ledger._accounts._working_set.known([a, b]) == exact


async def test_a_note_tells_the_whole_state_that_a_number_stands_for(processes: Pair) -> None:
    """A freeze leaves no note; a correction of the frozen account does, and must not make it look active."""
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await other.pay(a, b, 1) == "completed"
    await one.freeze(a)
    await one.accounts.ensure_adjustment_account(CURRENCY)
    corrected = replace(
        funding(a, 5), kind=TransactionKind.ADJUSTMENT, from_account=adjustment_account(CURRENCY)
    )
    [outcome] = await one.post([corrected])
    assert told(outcome) == "completed"
    assert await other.pay(a, b, 1) == "account_frozen"
    [known] = other.ledger._accounts._working_set.known([a]).values()
    assert (known.status, known.balance_minor, known.sequence) == (AccountStatus.FROZEN, 104, 4)


async def test_whoever_has_missed_too_many_turns_forgets_what_it_knew(
    processes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_turns, "NOTES_KEPT", 4)
    one, other = processes
    a, b, c, d = await one.open(4, balance=100)
    assert await other.pay(c, d, 1) == "completed"
    for _ in range(4):
        assert await one.pay(a, b, 1) == "completed"
    assert await other.pay(a, b, 1) == "completed"
    assert other.ledger._accounts._working_set.known([c])
    for _ in range(5):
        assert await one.pay(a, b, 1) == "completed"
    reads = Reads(other, monkeypatch)
    assert await other.pay(a, b, 1) == "completed"
    assert (reads.written, reads.attempts) == (2, 2)
    assert not other.ledger._accounts._working_set.known([c])
    assert [note["turn"] for note in await _notes(one)] == list(range(10, 14))


async def test_what_was_posted_outside_of_turns_makes_everybody_forget(
    processes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = processes
    a, b, c = await one.open(3, balance=100)
    assert await other.pay(a, b, 1) == "completed"
    one.writers.alone = True
    assert await one.pay(a, b, 1) == "completed"
    # It sees the other one now, and writes down what only it knows before it tells that there is more.
    one.writers.alone, one.writers.newcomers = False, True
    assert await one.pay(c, b, 1) == "completed"
    reads = Reads(other, monkeypatch)
    assert await other.pay(a, b, 1) == "completed"
    assert (reads.written, reads.exact, reads.attempts) == (2, 0, 1)
    assert [note["untold"] for note in await _notes(one)][-2:] == [True, False]


async def test_groups_of_accounts_out_of_date_are_searched_for_at_once(
    processes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = processes
    accounts = await one.open(20, balance=100)
    pairs = list(zip(accounts[::2], accounts[1::2], strict=True))
    await other.post([transfer(*pair, 1) for pair in pairs])
    # What it posts now stands in no note.
    one.writers.alone = True
    await one.post([transfer(*pair, 1) for pair in pairs])
    reads = Reads(other, monkeypatch)
    await other.post([transfer(*pair, 1) for pair in pairs])
    assert reads.attempts == 3


async def test_a_group_that_was_undone_leaves_no_turn(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await other.pay(a, b, 1) == "completed"
    before = await _notes(one)
    with undone(one):
        await one.pay(a, b, 50)
    assert await _notes(one) == before
    assert await one.pay(a, b, 1) == "completed"
    assert await other.pay(a, b, 1) == "completed"
    assert (await one.exact(a))[a].balance_minor == 97
    assert BANK in (await _notes(one))[0]["accounts"]


async def test_what_a_turn_shows_is_believed_once_it_is_committed(
    processes: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A primary that has lost the majority shows notes that will be undone, and commits nothing upon them."""
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await other.pay(a, b, 1) == "completed"
    [before] = other.ledger._accounts._working_set.known([a]).values()
    assert await one.pay(a, b, 1) == "completed"
    with undone(other):
        await other.pay(a, b, 1)
    assert other.ledger._accounts._working_set.known([a]) == {a: before}
    reads = Reads(other, monkeypatch)
    assert await other.pay(a, b, 1) == "completed"
    assert (reads.written, reads.exact, reads.attempts) == (0, 0, 1)
    assert other.ledger._accounts._working_set.known([a])[a].balance_minor == 97


async def test_a_turn_that_is_never_over_keeps_nobody(processes: Pair) -> None:
    """As a process leaves it that was killed, until the database ends its transaction."""
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await other.pay(a, b, 1) == "completed"
    async with one.database.client.start_session() as session:
        await session.start_transaction(**transaction_options())
        await one.ledger._turns.take(session, waiting_since=time.monotonic())
        assert await other.pay(a, b, 1) == "completed"
        await session.abort_transaction()
    assert await one.pay(a, b, 1) == "completed"
    assert await other.pay(b, a, 103) == "completed"


async def test_writers_that_see_each_other_take_turns(mongo_uri: str, database_name: str) -> None:
    async with (
        ledger_process(mongo_uri, database_name) as one,
        ledger_process(mongo_uri, database_name) as other,
        one.writers.signed_on(),
    ):
        a, b = await one.open(2, balance=100)
        assert await one.pay(a, b, 1) == "completed"
        assert (await _notes(one), one.ledger.groups_at_once) == ([], 4)
        async with other.writers.signed_on():
            assert not other.writers.alone

            async def seen() -> bool:
                return not one.writers.alone

            await eventually(seen)
            for number in range(6):
                assert await (one, other)[number % 2].pay(a, b, 10) == "completed"
            assert (len(await _notes(one)), one.ledger.groups_at_once) == (6, 1)
