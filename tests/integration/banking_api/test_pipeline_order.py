"""Groups of one process are written side by side, and nothing is committed that rests on what is not."""

import asyncio
from typing import Any

import pytest

from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.pipeline import outcome_unknown
from daemons.banking_api.ledger.record import Act, Command
from daemons.contracts.errors import BankError, TransientError
from daemons.shared.audit.record import Actor
from daemons.shared.ids import new_id
from daemons.shared.mongo import Session
from tests.support.ledgers import LedgerProcess, funding, ledger_process, told, transfer
from tests.support.waiting import eventually

FAILURES = [
    TransientError("unavailable", "by the test"),
    outcome_unknown(),
    RuntimeError("by the test"),
]


class Groups:
    """Holds each of a ledger's groups after it is decided, until it may be written, or fail.

    A group goes by the amount of its first payment.
    """

    def __init__(self) -> None:
        self._held: dict[int, asyncio.Future[None]] = {}
        self.written: list[int] = []

    def hold(self, *amounts: int) -> None:
        for amount in amounts:
            self._held[amount] = asyncio.get_running_loop().create_future()

    def release(self, amount: int) -> None:
        self._held.pop(amount).set_result(None)

    def fail(self, amount: int, error: Exception) -> None:
        self._held.pop(amount).set_exception(error)

    async def until_written(self, amount: int) -> None:
        async def is_written() -> bool:
            return amount in self.written

        await eventually(is_written, every_seconds=0.005)

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        append = Journal.append

        async def held(journal: Journal, group: SealedGroup, *, session: Session) -> None:
            amount = group.records[0].data.get("amount", 0)
            if amount in self._held:
                await self._held[amount]
            await append(journal, group, session=session)
            self.written.append(amount)

        patch.setattr(Journal, "append", held)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> Groups:
    groups = Groups()
    groups.plant(monkeypatch)
    return groups


def begin(process: LedgerProcess, *payments: tuple[str, str, int]) -> list[asyncio.Task[str]]:
    """Carry out each payment in a group of its own, in this order, as though enough waited for each."""
    return [asyncio.create_task(alone(process, transfer(*payment))) for payment in payments]


async def alone(process: LedgerProcess, *commands: Command) -> str:
    """Carry commands out in a group of their own; returns what the last one is told."""
    outcomes = await process.post(commands)
    assert {told(outcome) for outcome in outcomes[:-1]} <= {"completed"}
    return told(outcomes[-1])


async def balances(process: LedgerProcess, *accounts: str) -> list[int]:
    found = await process.exact(*accounts)
    return [found[account].balance_minor for account in accounts]


async def events(process: LedgerProcess) -> list[Any]:
    """The amounts of the payments of which events are owed, in the order in which these will go out."""
    sealed = await process.journal.seals_after(0, limit=1000)
    found = await process.journal.by_id([id_ for _, ids in sealed for id_ in ids])
    in_order = [found[id_] for _, ids in sealed for id_ in ids]
    return [record.data["amount"] for record in in_order if record.kind == "transfer"]


async def test_a_group_is_written_while_the_one_that_it_rests_on_is_not_yet(
    process: LedgerProcess, groups: Groups
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    groups.hold(10)
    first, second = begin(process, (a, b, 10), (b, c, 8))
    await groups.until_written(8)
    assert not second.done()
    assert await process.database["journal"].count_documents({"kind": "transfer"}) == 0
    groups.release(10)
    assert [await first, await second] == ["completed", "completed"]
    assert await balances(process, a, b, c) == [90, 2, 8]
    # The second was written first.
    assert await events(process) == [10, 8]


@pytest.mark.parametrize("error", FAILURES, ids=["transient", "unknown", "unexpected"])
async def test_what_rests_on_an_undone_group_is_undone(
    process: LedgerProcess, groups: Groups, error: Exception
) -> None:
    [a], [b, c, d] = await process.open(1, balance=100), await process.open(3)
    groups.hold(10)
    first, second, third = begin(process, (a, b, 10), (b, c, 8), (c, d, 7))
    await groups.until_written(8)
    await groups.until_written(7)
    groups.fail(10, error)
    with pytest.raises(type(error) if isinstance(error, BankError) else BankError):
        await first
    assert [await second, await third] == ["insufficient_funds", "insufficient_funds"]
    assert await balances(process, a, b, c, d) == [100, 0, 0, 0]


async def test_a_group_may_fail_between_others(process: LedgerProcess, groups: Groups) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    groups.hold(10, 8)
    first, second, third = begin(process, (a, b, 10), (a, b, 8), (b, c, 9))
    await groups.until_written(9)
    groups.fail(8, FAILURES[0])
    with pytest.raises(BankError):
        await second
    groups.release(10)
    assert [await first, await third] == ["completed", "completed"]
    assert await balances(process, a, b, c) == [90, 1, 9]


async def test_a_refusal_is_told_when_what_it_rests_on_is_committed(
    process: LedgerProcess, groups: Groups
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    groups.hold(99)
    first, second = begin(process, (a, b, 99), (a, c, 5))
    await groups.until_written(5)
    assert not second.done()
    groups.release(99)
    assert [await first, await second] == ["completed", "insufficient_funds"]


async def test_a_refusal_that_rests_on_an_undone_group_is_not_told(
    process: LedgerProcess, groups: Groups
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    groups.hold(99)
    first, second = begin(process, (a, b, 99), (a, c, 5))
    await groups.until_written(5)
    groups.fail(99, FAILURES[0])
    with pytest.raises(BankError):
        await first
    assert await second == "completed"
    assert await balances(process, a, b, c) == [95, 0, 5]


async def test_a_group_whose_number_was_taken_takes_those_behind_it_along(
    process: LedgerProcess, groups: Groups, mongo_uri: str, database_name: str
) -> None:
    paid = await pay_while_another_process_takes_a_number(process, groups, mongo_uri, database_name)
    assert await balances(process, *paid) == [89, 3, 8]


async def test_groups_that_write_one_document_besides_do_not_undo_each_other_for_ever(
    process: LedgerProcess, groups: Groups
) -> None:
    """As administrative acts do, whose audit trail has one head."""
    many = await process.open(400)

    async def write_acts(_acts: object, session: Session) -> None:
        await process.database["head"].update_one({}, {"$inc": {"length": 1}}, upsert=True, session=session)

    process.pipeline._write_acts = write_acts
    olga = Actor(
        user_id=new_id(), display_name="Olga", role="operator", address="127.0.0.1", request_id="test"
    )
    act = Act(actor=olga)
    groups.written.clear()
    first, second, third = (
        asyncio.create_task(alone(process, *commands))
        for commands in (
            [funding(account, 10, act=act) for account in many],
            [funding(many[0], 8, act=act)],
            [funding(many[1], 7, act=act)],
        )
    )
    assert [await first, await second, await third] == ["completed"] * 3
    # Each met the one before it at the head, once.
    assert len(groups.written) <= 1 + 2 + 2
    head = await process.database["head"].find_one()
    assert head is not None
    assert head["length"] == 3


async def pay_while_another_process_takes_a_number(
    process: LedgerProcess,
    groups: Groups,
    mongo_uri: str,
    database_name: str,
) -> list[str]:
    """Pay 10 from a to b and 8 from b to c, while another pays 1 from a to b; returns the accounts."""
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    groups.hold(10)
    payments = begin(process, (a, b, 10), (b, c, 8))
    await groups.until_written(8)
    async with ledger_process(mongo_uri, database_name) as other:
        assert await other.pay(a, b, 1) == "completed"
    # Decided anew it takes the number that the second has taken for now.
    groups.release(10)
    assert [await payment for payment in payments] == ["completed"] * len(payments)
    return [a, b, c]
