"""An atomic group on a ledger that others change, and whose answers are lost."""

import asyncio
from collections.abc import Sequence

import pytest

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.contracts.errors import BankError, OutcomeUnknownError
from tests.support.commits import unanswered_commits
from tests.support.ledgers import LedgerProcess, ledger_process, told, transfer, undone


async def refused(process: LedgerProcess, commands: Sequence[Command]) -> list[str]:
    """What each command of a group is told of which nothing is posted."""
    waiting = process.begin(commands, atomic=True)
    told_ = await asyncio.gather(*(one.answer for one in waiting), return_exceptions=True)
    assert any(isinstance(one, BankError) for one in told_)
    return [told(one) if isinstance(one, Outcome) else getattr(one, "code", str(one)) for one in told_]


async def test_no_refusal_rests_on_what_others_have_changed(
    process: LedgerProcess, mongo_uri: str, database_name: str
) -> None:
    a, b, c, d = await process.open(4, balance=100)
    async with ledger_process(mongo_uri, database_name) as other:
        assert await process.pay(a, b, 100) == "completed"
        assert await other.pay(c, a, 100) == "completed"
        # The process takes the first for empty, and finds out that it has been paid.
        paid = await process.post_atomic([transfer(d, b, 1), transfer(a, b, 100)])
        assert [told(outcome) for outcome in paid] == ["completed", "completed"]
        # It takes the third for full: the second row is refused for what the first does not bring.
        assert await refused(process, [transfer(c, a, 100), transfer(a, b, 150)]) == [
            "insufficient_funds",
            "insufficient_funds",
        ]


async def test_nothing_is_posted_on_what_others_have_changed(
    process: LedgerProcess, mongo_uri: str, database_name: str
) -> None:
    a, b, c = await process.open(3, balance=100)
    assert await process.pay(a, b, 1) == "completed"
    async with ledger_process(mongo_uri, database_name) as other:
        await other.freeze(a)
        assert await refused(process, [transfer(c, b, 10, key="1"), transfer(a, b, 10, key="2")]) == [
            "atomic_batch_refused",
            "account_frozen",
        ]
        assert (await process.exact(c))[c].balance_minor == 100
        await other.unfreeze(a)
        paid = await process.post_atomic([transfer(c, b, 10, key="1"), transfer(a, b, 10, key="2")])
        assert [(told(outcome), outcome.replayed) for outcome in paid] == [("completed", False)] * 2


async def test_a_replay_is_found_also_where_the_rows_could_not_be_paid_now(
    process: LedgerProcess, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)

    def group() -> list[Transfer]:
        return [transfer(a, b, 60, key="1"), transfer(a, b, 40, key="2")]

    first = await process.post_atomic(group())
    async with ledger_process(mongo_uri, database_name) as new:
        again = await new.post_atomic(group())
    assert [outcome.replayed for outcome in again] == [True, True]
    assert [outcome.record.id for outcome in again] == [outcome.record.id for outcome in first]


@pytest.mark.parametrize("done", [True, False])
async def test_an_unknown_commit_is_read_back(process: LedgerProcess, *, done: bool) -> None:
    a, b = await process.open(2, balance=100)

    def group() -> list[Transfer]:
        return [transfer(a, b, 10, key="1"), transfer(a, b, 20, key="2")]

    outcomes: list[Outcome] = []
    with unanswered_commits(undone=not done):
        if done:
            outcomes = await process.post_atomic(group())
        else:
            with pytest.raises(OutcomeUnknownError):
                await process.post_atomic(group())
    again = await process.post_atomic(group())
    assert [outcome.replayed for outcome in outcomes] == [False] * len(outcomes)
    assert [outcome.replayed for outcome in again] == [done, done]
    assert (await process.exact(a))[a].balance_minor == 70


async def test_what_is_undone_leaves_no_row_and_no_key(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    group = [transfer(a, b, 10, key="1"), transfer(a, b, 20, key="2")]
    with undone(process):
        await process.post_atomic(group)
    assert (await process.exact(a))[a].balance_minor == 100
    assert [outcome.replayed for outcome in await process.post_atomic(group)] == [False, False]
