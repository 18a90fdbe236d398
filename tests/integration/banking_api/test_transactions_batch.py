"""Rows of a batch: checked one by one, begun in their order, and each told what became of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from daemons.banking_api.accounts.number import account_number
from daemons.banking_api.kinds.table import KindDetails
from daemons.banking_api.ledger.batches import Batches, Turn
from daemons.banking_api.ledger.pipeline import outcome_unknown
from daemons.banking_api.ledger.record import Outcome
from daemons.banking_api.transactions.batch import (
    BegunRow,
    begin_atomic_rows,
    begin_rows,
    check_rows,
    last_key_of,
    results_of,
)
from daemons.banking_api.transactions.models import TransferBatch
from daemons.banking_api.transactions.service import Transactions
from daemons.contracts.errors import BankError, ConflictError, TransientError
from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.shared.auth.callers import Caller
from tests.support.desk import NOBODY_ASKS, running_desk
from tests.support.ledgers import OWNER, LedgerProcess

ALICE = Caller(user_id=OWNER, session_id=UUID(int=1), role=Role.USER, display_name="Alice")
HERS, HIS = account_number(100_000_001), account_number(100_000_002)
BEGUN_BEFORE_ALL_ARE_CHECKED = 250
Row = dict[str, object]


def row(sender: str, receiver: str, amount: str, key: str, **more: object) -> Row:
    fields: Row = {"from_account": sender, "to_account": receiver, "amount": amount, "currency": "EUR"}
    return {**fields, "idempotency_key": key, **more}


@pytest_asyncio.fixture
async def transactions(process: LedgerProcess) -> AsyncIterator[Transactions]:
    async with running_desk(process, NOBODY_ASKS) as desk:
        yield desk.transactions


async def results(
    transactions: Transactions, begun: Sequence[BegunRow], *, minimal: bool = False
) -> list[dict[str, Any]]:
    outcomes = await transactions.end(waiting for _, waiting in begun)
    return await results_of(begun, outcomes, request_id="r-1", minimal=minimal)


async def settled(
    transactions: Transactions, rows: Sequence[Row], *, atomic: bool = False, minimal: bool = False
) -> list[dict[str, Any]]:
    """Send a batch that follows none."""
    batch = TransferBatch(transfers=list(rows), atomic=atomic)
    with Batches().turn(OWNER, last_key=last_key_of(batch), after=None) as turn:
        begun = await (begin_atomic_rows if atomic else begin_rows)(batch, ALICE, None, transactions, turn)
        found = await results(transactions, begun, minimal=minimal)
        assert not turn.batch.waiting
    return found


def told(found: Sequence[dict[str, Any]]) -> list[tuple[str, bool, str | None]]:
    return [(one["outcome"], one["replayed"], (one["problem"] or {}).get("code")) for one in found]


async def test_each_row_is_told_in_full_what_became_of_it(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b = await process.open(2, balance=100)
    rows = [
        row(a, b, "0.30", "paid", reference="rent"),
        row(a, b, "7.00", "poor"),
        row(a, b, "seven", "malformed"),
        {"amount": "1"},
        row(a, b, "0.001", "too-fine"),
    ]
    paid, poor, malformed, keyless, too_fine = await settled(transactions, rows)
    journal = process.database["journal"]
    kept = {one["data"]["amount"]: one async for one in journal.find({"kind": "transfer"})}
    assert paid == {
        "index": 0,
        "idempotency_key": "paid",
        "outcome": "completed",
        "replayed": False,
        "transaction_id": str(kept[30]["_id"]),
        "transaction": {
            "id": str(kept[30]["_id"]),
            "kind": "transfer",
            "status": "completed",
            "amount": {"amount": "0.30", "currency": "EUR"},
            "from_account": a,
            "to_account": b,
            "reference": "rent",
            "description": None,
            # What only other kinds have.
            **dict.fromkeys(KindDetails.model_fields),
            "failure": None,
            "initiated_by": str(OWNER),
            "created_at": format_instant(kept[30]["at"]),
        },
        "problem": None,
    }
    assert (poor["outcome"], poor["transaction_id"]) == ("failed", str(kept[700]["_id"]))
    assert poor["problem"]["code"] == "insufficient_funds"
    assert poor["problem"]["details"] == {"transaction_id": poor["transaction_id"]}
    assert poor["transaction"]["failure"]["code"] == "insufficient_funds"
    assert malformed == {
        "index": 2,
        "idempotency_key": "malformed",
        "outcome": "refused",
        "replayed": False,
        "transaction_id": None,
        "transaction": None,
        "problem": malformed["problem"],
    }
    assert (malformed["problem"]["code"], malformed["problem"]["request_id"]) == ("invalid_request", "r-1")
    assert [fault["field"] for fault in malformed["problem"]["errors"]] == ["amount"]
    assert (keyless["index"], keyless["idempotency_key"], keyless["outcome"]) == (3, None, "refused")
    assert too_fine["problem"]["errors"][0]["field"] == "amount"
    [again] = await settled(transactions, rows[:1], minimal=True)
    assert again == {**paid, "replayed": True, "transaction": None}


async def test_what_is_not_known_is_told_as_unknown_and_all_other_errors_as_refused() -> None:
    checked = await check_rows([row(HERS, HIS, "1", str(n)) for n in range(3)], ALICE)
    begun: list[BegunRow] = [(one, None) for one in checked]
    outcomes: list[Outcome | BankError | None] = [
        outcome_unknown(),
        TransientError("unavailable", "by the test", retry_after_seconds=1),
        None,
    ]
    found: list[dict[str, Any]] = await results_of(begun, outcomes, request_id="r-1", minimal=False)
    assert told(found)[:2] == [("unknown", False, "outcome_unknown"), ("refused", False, "unavailable")]
    assert found[1]["problem"]["retry_after_seconds"] == 1


async def test_a_long_batch_is_paid_whole_and_in_its_order(
    process: LedgerProcess, transactions: Transactions
) -> None:
    [a], [b] = await process.open(1, balance=1), await process.open(1)
    # One cent goes to and fro: in any other order a row fails.
    count = BEGUN_BEFORE_ALL_ARE_CHECKED + 150
    rows = [row(*((b, a) if n % 2 else (a, b)), "0.01", f"k{n}") for n in range(count)]
    rows[200] = {}
    rows[201] = {}
    found = await settled(transactions, rows)
    assert [one["index"] for one in found] == list(range(count))
    expected = [("completed", False, None)] * count
    expected[200:202] = [("refused", False, "invalid_request")] * 2
    assert told(found) == expected
    again = await settled(transactions, rows)
    assert [one["transaction_id"] for one in again] == [one["transaction_id"] for one in found]


async def begun_behind(
    first: Turn, batch: TransferBatch, transactions: Transactions, turn: Turn, *, error: BankError
) -> list[BegunRow]:
    """Begin a batch; as soon as rows of it wait, the one before turns out not to be settled."""

    async def fail_meanwhile() -> None:
        while not turn.batch.waiting:  # noqa: ASYNC110 - everything happens in this loop
            await asyncio.sleep(0)
        first.batch.note(error)

    failing = asyncio.create_task(fail_meanwhile())
    begun = await begin_rows(batch, ALICE, None, transactions, turn)
    await failing
    return begun


async def test_rows_in_front_are_begun_while_the_rest_is_checked_and_undone_with_the_batch_before(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b = await process.open(2, balance=1000)
    rows = [row(a, b, "0.01", f"k{n}") for n in range(BEGUN_BEFORE_ALL_ARE_CHECKED + 100)]
    rows[-2] = {}
    batch = TransferBatch(transfers=rows, after="first")
    batches = Batches()
    with (
        batches.turn(OWNER, last_key="first", after=None) as first,
        batches.turn(OWNER, last_key=last_key_of(batch), after="first") as turn,
    ):
        first.begun()
        error = TransientError("unavailable", "by the test")
        begun = await begun_behind(first, batch, transactions, turn, error=error)
        outcomes = await transactions.end(waiting for _, waiting in begun)
        with pytest.raises(ConflictError):
            turn.check(outcomes)
        found: list[dict[str, Any]] = await results_of(begun, outcomes, request_id="r-1", minimal=True)
        with batches.turn(OWNER, last_key="third", after=last_key_of(batch)) as third:
            assert not third.has_come
    expected = [("refused", False, "batch_before_not_settled")] * len(rows)
    expected[-2] = ("refused", False, "invalid_request")
    assert told(found) == expected
    assert (await process.exact(a))[a].balance_minor == 1000


async def test_no_row_is_begun_before_the_batch_before_has_begun(
    process: LedgerProcess, transactions: Transactions
) -> None:
    [a], [b, c] = await process.open(1, balance=1000), await process.open(2)
    count = BEGUN_BEFORE_ALL_ARE_CHECKED + 100
    # They spend what comes by the batch before.
    rows = [row(b, c, "0.01", f"k{n}") for n in range(count)]
    batch = TransferBatch(transfers=rows, after="first")
    batches = Batches()
    with (
        batches.turn(OWNER, last_key="first", after=None) as first,
        batches.turn(OWNER, last_key=last_key_of(batch), after="first") as turn,
    ):
        beginning = asyncio.create_task(begin_rows(batch, ALICE, None, transactions, turn))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not turn.batch.waiting
        brings = TransferBatch(transfers=[row(a, b, "3.50", "first")])
        found = await results(transactions, await begin_rows(brings, ALICE, None, transactions, first))
        found += await results(transactions, await beginning)
    assert told(found) == [("completed", False, None)] * (1 + count)


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_batch_behind_one_that_is_not_settled_is_refused_before_anything_is_begun(
    process: LedgerProcess, transactions: Transactions, *, atomic: bool
) -> None:
    a, b = await process.open(2, balance=100)
    batch = TransferBatch(transfers=[row(a, b, "0.01", "one")], atomic=atomic, after="first")
    batches = Batches()
    with batches.turn(OWNER, last_key="first", after=None):
        pass
    with batches.turn(OWNER, last_key=last_key_of(batch), after="first") as turn:
        begin = begin_atomic_rows if atomic else begin_rows
        with pytest.raises(ConflictError) as refused:
            await begin(batch, ALICE, None, transactions, turn)
        assert refused.value.code == "batch_before_not_settled"
        assert not turn.batch.waiting
    assert told(await settled(transactions, batch.transfers, atomic=atomic)) == [("completed", False, None)]


async def test_atomic_rows_are_begun_together_or_refused_with_the_one_that_is_malformed(
    process: LedgerProcess, transactions: Transactions
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    good = [row(a, b, "1.00", "one"), row(b, c, "1.00", "two")]
    left_out, malformed = ("refused", False, "atomic_batch_refused"), ("refused", False, "invalid_request")
    found = await settled(
        transactions, [good[0], row(a, b, "-1", "bad"), {}, {}, good[1], good[0]], atomic=True
    )
    assert told(found) == [left_out, malformed, malformed, malformed, left_out, malformed]
    assert found[5]["problem"]["errors"] == [
        {"field": "idempotency_key", "message": "stands at row 0 already"}
    ]
    assert [one["idempotency_key"] for one in found] == ["one", "bad", None, None, "two", "one"]
    assert told(await settled(transactions, good, atomic=True)) == [("completed", False, None)] * 2


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_batch_lets_the_next_one_begin_once_its_rows_wait(
    process: LedgerProcess, transactions: Transactions, *, atomic: bool
) -> None:
    a, b = await process.open(2, balance=100)
    rows: list[Row] = [row(a, b, "0.01", "one"), row(a, b, "x" if atomic else "1", "two")]
    batch = TransferBatch(transfers=rows, atomic=atomic)
    batches = Batches()
    with (
        batches.turn(OWNER, last_key=last_key_of(batch), after=None) as turn,
        batches.turn(OWNER, last_key="next", after="two") as following,
    ):
        assert not following.has_come
        begun = await (begin_atomic_rows if atomic else begin_rows)(batch, ALICE, None, transactions, turn)
        assert following.has_come
        await transactions.end(waiting for _, waiting in begun)


async def test_rows_are_ordered_by_who_sends_them_and_leave_others_their_turn() -> None:
    raw: list[Row] = [row(HERS, HIS, "1.5", f"k{n}", reference="r") for n in range(120)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    checked = await check_rows(raw, replace(ALICE, user_id=UUID(int=8)))
    counting.cancel()
    assert turns >= 1
    assert [one.place for one in checked] == list(range(120))
    command = checked[7].command
    assert command is not None
    assert command.initiator == UUID(int=8)
    assert (command.idempotency_key, command.from_account, command.to_account) == (
        "k7",
        HERS,
        HIS,
    )
    assert (command.amount_minor, command.currency, command.reference) == (150, "EUR", "r")


def test_a_batch_goes_by_the_key_of_its_last_row() -> None:
    def last(*keys: object) -> str:
        return last_key_of(TransferBatch(transfers=[{"idempotency_key": key} for key in keys]))

    assert (last("one", "two"), last("one", 2)) == ("two", "")
    assert last_key_of(TransferBatch(transfers=[{"idempotency_key": "one"}, {}])) == ""
