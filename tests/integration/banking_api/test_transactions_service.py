"""Transfers, fundings and adjustments as the routes ask for them, through a node to a real database."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta, timezone
from uuid import UUID

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.reversal import Reversal, ReverseTransaction
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.batches import Batch, Turn
from daemons.banking_api.ledger.ledger import BatchTurn
from daemons.banking_api.ledger.record import Act, Outcome, Record
from daemons.banking_api.money import Money
from daemons.banking_api.transactions.service import (
    Settled,
    Transactions,
    TransferOrder,
    transfer_command,
)
from daemons.contracts.errors import (
    BankError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    TransientError,
)
from daemons.contracts.names import Direction
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Approval
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller
from tests.support.desk import HALF_A_EURO_ALONE, NOBODY_ASKS, NOW, Desk, running_desk
from tests.support.ledgers import BANK, CURRENCY, OWNER, LedgerProcess, told

ALICE = Caller(user_id=OWNER, session_id=UUID(int=1), role=Role.USER, display_name="Alice")
BOB = replace(ALICE, user_id=UUID(int=8), display_name="Bob")
OLGA = Actor(
    user_id=UUID(int=9), display_name="Olga", role="operator", address="127.0.0.1", request_id="test"
)
OMAR = replace(OLGA, user_id=UUID(int=10), display_name="Omar")


def eur(minor: int) -> Money:
    return Money(minor, CURRENCY)


def order(sender: str, receiver: str, minor: int, *, reference: str | None = None) -> TransferOrder:
    return TransferOrder(sender, receiver, eur(minor), reference)


def funding(by: Actor, account: str, money: Money, key: str, *, reference: str | None = None) -> Funding:
    assert by.user_id is not None
    return Funding(
        initiator=by.user_id,
        idempotency_key=key,
        act=Act(actor=by),
        to_account=account,
        amount_minor=money.minor,
        currency=money.currency,
        reference=reference,
    )


def credit(by: Actor, account: str, minor: int, key: str) -> Adjustment:
    assert by.user_id is not None
    return Adjustment(
        initiator=by.user_id,
        idempotency_key=key,
        act=Act(actor=by),
        account_id=account,
        direction=Direction.CREDIT,
        amount_minor=minor,
        currency=CURRENCY,
        reason="a test",
        corrects=None,
    )


@pytest_asyncio.fixture
async def desk(process: LedgerProcess) -> AsyncIterator[Desk]:
    """Where nobody needs a second person, except to adjust."""
    async with running_desk(process, NOBODY_ASKS) as made:
        yield made


@pytest_asyncio.fixture
async def careful(process: LedgerProcess) -> AsyncIterator[Desk]:
    """Where one person funds half a euro a day alone."""
    async with running_desk(process, HALF_A_EURO_ALONE) as made:
        yield made


@pytest.fixture
def transactions(desk: Desk) -> Transactions:
    return desk.transactions


def settled(done: Settled | Approval) -> Settled:
    assert isinstance(done, Settled)
    return done


def waiting(done: Settled | Approval) -> Approval:
    assert isinstance(done, Approval)
    return done


def sides(record: Record) -> tuple[object, ...]:
    return tuple(record.data[name] for name in ("from", "to", "amount", "currency", "reference"))


async def begun_and_ended(
    desk: Desk, *commands: Transfer, atomic: bool = False
) -> list[Outcome | BankError | None]:
    """Begin commands as a batch of their own, and wait for them."""
    with desk.node.turn(OWNER, last_key=commands[-1].idempotency_key, after=None) as turn:
        if atomic:
            begun = desk.transactions.begin_atomic(commands, turn)
        else:
            begun = [desk.transactions.begin(command, turn) for command in commands]
        turn.begun()
        return await desk.transactions.end(begun)


def codes(answers: list[Outcome | BankError | None]) -> list[str | None]:
    return [one.code if isinstance(one, BankError) else None if one is None else told(one) for one in answers]


async def test_a_transfer_is_kept_as_it_was_ordered_and_told_again_under_its_key(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b = await process.open(2, balance=100)
    paid = await transactions.order(transfer_command(ALICE, order(a, b, 30, reference="rent"), "one"))
    assert not paid.replayed
    assert (paid.record.kind, paid.record.initiator) == ("transfer", OWNER)
    assert sides(paid.record) == (a, b, 30, CURRENCY, "rent")
    assert [(entry.account_id, entry.owner, entry.amount_minor) for entry in paid.record.entries] == [
        (a, OWNER, -30),
        (b, OWNER, 30),
    ]
    again = await transactions.order(transfer_command(ALICE, order(a, b, 30, reference="rent"), "one"))
    assert (again.record, again.replayed) == (paid.record, True)
    with pytest.raises(RejectedError) as reused:
        await transactions.order(transfer_command(ALICE, order(a, b, 30), "one"))
    assert (reused.value.code, reused.value.details) == ("idempotency_key_reused", {})


async def test_a_refusal_is_kept_and_told_again(process: LedgerProcess, transactions: Transactions) -> None:
    a, b = await process.open(2, balance=100)
    details = []
    for replayed in (False, True):
        with pytest.raises(RejectedError) as refused:
            await transactions.order(transfer_command(ALICE, order(a, b, 101), "poor"))
        assert (refused.value.code, refused.value.replayed) == ("insufficient_funds", replayed)
        details.append(refused.value.details)
    kept = await process.database["journal"].find_one({"status": "failed"})
    assert kept is not None
    assert details == [{"transaction_id": str(kept["_id"])}] * 2
    with pytest.raises(NotFoundError):
        await transactions.order(transfer_command(BOB, order(a, b, 1), "theft"))


async def test_what_is_begun_is_decided_in_order_and_told_one_by_one(
    process: LedgerProcess, desk: Desk
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    commands = [
        transfer_command(ALICE, order(a, b, 100), "one"),
        transfer_command(ALICE, order(b, c, 100), "two"),
        transfer_command(ALICE, order(a, c, 1), "three"),
    ]
    transactions = desk.transactions
    with desk.node.turn(OWNER, last_key="three", after=None) as turn:
        begun = [transactions.begin(command, turn) for command in commands]
        batch = batch_of(turn)
        assert (batch.waiting, batch.unsettled) == (3, False)
        in_use = transactions.begin(commands[0], turn)
        assert isinstance(in_use, ConflictError)
        assert batch.unsettled
        answers = await transactions.end([begun[0], None, *begun[1:], in_use])
    assert (answers[4], batch.waiting) == (in_use, 0)
    assert codes(answers) == [
        "completed",
        None,
        "completed",
        "insufficient_funds",
        "idempotency_key_in_use",
    ]
    other = transfer_command(ALICE, order(a, b, 5), "one")
    [reused] = await begun_and_ended(desk, other)
    assert isinstance(reused, RejectedError)
    assert reused.code == "idempotency_key_reused"


def batch_of(turn: BatchTurn) -> Batch:
    """What the commands of a turn at the ledger itself belong to."""
    assert isinstance(turn, Turn)
    return turn.batch


async def test_what_is_begun_together_is_done_together_or_refused_together(
    process: LedgerProcess, desk: Desk
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    rich = [
        transfer_command(ALICE, order(a, b, 100), "one"),
        transfer_command(ALICE, order(b, c, 100), "two"),
    ]
    assert codes(await begun_and_ended(desk, *rich, atomic=True)) == ["completed"] * 2
    poor = [
        transfer_command(ALICE, order(c, a, 1), "three"),
        transfer_command(ALICE, order(a, b, 100), "four"),
    ]
    transactions = desk.transactions
    with desk.node.turn(OWNER, last_key="four", after=None) as turn:
        refused = await transactions.end(transactions.begin_atomic(poor, turn))
        assert codes(refused) == ["atomic_batch_refused", "insufficient_funds"]
        batch = batch_of(turn)
        assert (batch.waiting, batch.unsettled) == (0, False)
        await process.pipeline.close()
        late = await transactions.end(transactions.begin_atomic(poor, turn))
        assert [type(one) for one in late] == [TransientError] * 2
        assert batch.unsettled


async def test_a_preview_tells_what_would_be_and_does_nothing(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b = await process.open(2, balance=100)
    preview = await transactions.preview(ALICE, order(a, b, 30))
    assert (preview.failure, preview.balance_minor, preview.balance_after_minor) == (None, 100, 70)
    assert (preview.currency, preview.from_owner, preview.to_owner) == (CURRENCY, OWNER, OWNER)
    poor = await transactions.preview(ALICE, order(a, b, 101))
    assert poor.failure is not None
    assert (poor.failure.code, poor.balance_after_minor) == ("insufficient_funds", None)
    nowhere = await transactions.preview(ALICE, order(a, "1234567897", 1))
    assert nowhere.to_owner is None
    for caller, sender in ((BOB, a), (ALICE, "1234567897")):
        with pytest.raises(NotFoundError) as missing:
            await transactions.preview(caller, order(sender, b, 1))
        assert (missing.value.code, sender in missing.value.message) == ("account_not_found", True)
    assert await process.database["journal"].count_documents({"kind": "transfer"}) == 0


async def test_a_slice_is_looked_at_behind_what_earlier_ones_would_have_done(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b, c = await process.open(3, balance=100)
    kept = await transactions.order(transfer_command(ALICE, order(a, b, 10), "known"))
    commands = [
        transfer_command(ALICE, order(a, b, 10), "known"),
        transfer_command(ALICE, order(a, b, 60), "new"),
    ]
    # One account is named by earlier rows only.
    found = await transactions.preview_slice(ALICE, commands, {a: "-0.20", c: "0.20"})
    known, new = found.rows
    assert (known.outcome.record, known.outcome.replayed) == (kept.record, True)
    assert (new.balance_after_minor, new.outcome.record.at) == (10, NOW)
    assert found.carried == {a: "-0.80", b: "0.60", c: "0.20"}
    assert await process.database["journal"].count_documents({"kind": "transfer"}) == 1
    with pytest.raises(BankError):
        await transactions.preview_slice(BOB, commands, {a: "-0.20"})


@contextmanager
def acts_logged(*actions: str, by: Actor = OLGA) -> Iterator[None]:
    """See that these administrative acts, and no others, are logged within the block."""
    with capture_logs() as logs:
        yield
    logged = [line for line in logs if line["event"] == "administrative act"]
    assert [line["action"] for line in logged] == list(actions)
    assert {line["actor"] for line in logged} <= {str(by.user_id)}


async def audited(process: LedgerProcess) -> list[str]:
    """The acts that the audit keeps, in their order."""
    return [entry["action"] async for entry in process.database["audit"].find().sort("_id")]


async def test_a_funding_is_booked_once_by_who_does_it(
    process: LedgerProcess, transactions: Transactions
) -> None:
    [a] = await process.open(1)

    async def fund(money: Money, key: str) -> Settled:
        return settled(await transactions.book(OLGA, funding(OLGA, a, money, key, reference="cash")))

    with acts_logged("fund"):
        funded = await fund(eur(70), "one")
    assert (funded.record.kind, funded.record.initiator) == ("funding", OLGA.user_id)
    assert sides(funded.record) == (BANK, a, 70, CURRENCY, "cash")
    with acts_logged():
        again = await fund(eur(70), "one")
        assert (again.record, again.replayed) == (funded.record, True)
        with pytest.raises(RejectedError):
            await fund(eur(71), "one")
    # The bank's own account of a currency needs no opening.
    with acts_logged("fund"), pytest.raises(RejectedError) as refused:
        await fund(Money(5, "USD"), "two")
    assert refused.value.code == "currency_mismatch"
    assert await audited(process) == ["fund", "fund"]


async def test_what_staff_may_not_fund_is_refused_before_anything_is_booked(
    process: LedgerProcess, transactions: Transactions
) -> None:
    [a] = await process.open(1)
    own = replace(OLGA, user_id=OWNER)
    with pytest.raises(ForbiddenError) as forbidden:
        await transactions.book(own, funding(own, a, eur(1), "k"))
    assert forbidden.value.code == "own_account"
    with pytest.raises(NotFoundError) as missing:
        await transactions.book(OLGA, funding(OLGA, "1234567897", eur(1), "k"))
    assert (missing.value.code, "1234567897" in missing.value.message) == ("account_not_found", True)
    assert await process.database["journal"].count_documents({"kind": "funding"}) == 0


async def test_a_key_is_new_until_something_is_posted_under_it_by_the_same_person(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b = await process.open(2, balance=100)
    await transactions.book(OLGA, funding(OLGA, a, eur(1), "one"))
    with pytest.raises(RejectedError) as used:
        await transactions.adjust(OLGA, credit(OLGA, b, 5, "one"))
    assert used.value.code == "idempotency_key_reused"
    assert waiting(await transactions.adjust(OLGA, credit(OLGA, b, 5, "two"))).target_id == b
    assert waiting(await transactions.adjust(OMAR, credit(OMAR, b, 5, "one"))).target_id == b
    # As long as it waits, the request is what the key stands for.
    with pytest.raises(RejectedError) as used:
        await transactions.adjust(OLGA, credit(OLGA, b, 6, "two"))
    assert used.value.code == "idempotency_key_reused"


async def test_what_two_have_agreed_on_is_booked_for_who_asked_and_refused_alone(
    process: LedgerProcess, careful: Desk
) -> None:
    transactions, approvals = careful.transactions, careful.approvals
    [a] = await process.open(1)

    async def ask(key: str) -> Settled | Approval:
        return await transactions.book(OLGA, funding(OLGA, a, eur(70), key, reference="cash"))

    withdrawn, agreed = waiting(await ask("zero")), waiting(await ask("one"))
    await approvals.reject(OLGA, withdrawn.id, reason="a mistake")
    # The second person had read the request before it was taken back.
    with acts_logged(by=OMAR), pytest.raises(ConflictError) as decided:
        await transactions._carry_out(withdrawn, OMAR)
    assert decided.value.code == "approval_decided"
    assert await process.database["journal"].count_documents({"kind": "funding"}) == 0
    with acts_logged("fund", by=OMAR):
        done = await approvals.approve(OMAR, agreed.id)
    funded = settled(await ask("one"))
    assert funded.replayed
    assert (funded.record.initiator, sides(funded.record)) == (
        OLGA.user_id,
        (BANK, a, 70, CURRENCY, "cash"),
    )
    assert done.decision is not None
    assert done.decision.outcome == {"transaction_id": str(funded.record.id), "status": "completed"}
    assert [
        (entry["action"], entry["actor"]["user_id"])
        async for entry in process.database["audit"].find({"action": "fund"})
    ] == [("fund", str(OMAR.user_id))]


async def test_beyond_what_one_may_fund_alone_a_second_person_is_asked(
    process: LedgerProcess, careful: Desk
) -> None:
    transactions = careful.transactions
    [a] = await process.open(1)

    async def fund(actor: Actor, minor: int, key: str) -> Settled | Approval:
        return await transactions.book(actor, funding(actor, a, eur(minor), key))

    assert waiting(await fund(OLGA, 70, "one")).parameters["amount"] == "0.70"
    funded = settled(await fund(OLGA, 50, "two"))
    # The limit is used up, and what was booked is told again all the same.
    assert waiting(await fund(OLGA, 1, "three")).requester_id == OLGA.user_id
    again = settled(await fund(OLGA, 50, "two"))
    assert (again.record, again.replayed) == (funded.record, True)
    assert settled(await fund(OMAR, 50, "two")).record.data["amount"] == 50
    assert (await process.exact(a))[a].balance_minor == 100
    await process.pipeline.close()
    with pytest.raises(TransientError):
        await fund(OMAR, 1, "late")


async def test_a_correction_names_a_transaction_that_moved_something_on_the_account(
    process: LedgerProcess, transactions: Transactions
) -> None:
    a, b, c = await process.open(3, balance=100)
    paid = await transactions.order(transfer_command(ALICE, order(a, b, 30), "one"))

    async def correct(account: str, corrects: UUID) -> Settled | Approval:
        asked = replace(credit(OLGA, account, 5, f"{account} {corrects}"), corrects=corrects)
        return await transactions.adjust(OLGA, asked)

    asked = waiting(await correct(b, paid.record.id))
    assert (asked.target_kind, asked.target_id, asked.reason) == ("account", b, "a test")
    assert asked.parameters["corrects"] == str(paid.record.id)
    with pytest.raises(NotFoundError) as missing:
        await correct(b, UUID(int=5))
    assert missing.value.code == "transaction_not_found"
    with pytest.raises(RejectedError) as elsewhere:
        await correct(c, paid.record.id)
    assert elsewhere.value.code == "nothing_to_correct"
    assert elsewhere.value.message == f"Transaction {paid.record.id} moved nothing on account {c}."


async def test_nobody_is_asked_for_what_a_rule_would_refuse(process: LedgerProcess, desk: Desk) -> None:
    [a] = await process.open(1, balance=100)
    debit = replace(credit(OLGA, a, 101, "one"), direction=Direction.DEBIT)
    with pytest.raises(RejectedError) as refused:
        await desk.transactions.adjust(OLGA, debit)
    # Nothing of it is kept.
    assert (refused.value.code, refused.value.details) == ("insufficient_funds", {})
    assert await process.database["approvals"].count_documents({}) == 0
    assert isinstance(await desk.transactions.adjust(OLGA, replace(debit, amount_minor=100)), Approval)


async def test_a_reversal_by_force_takes_two_whatever_the_policy_and_is_done_once(
    process: LedgerProcess, desk: Desk
) -> None:
    transactions = desk.transactions
    a, b = await process.open(2, balance=100)
    paid = await transactions.order(transfer_command(ALICE, order(a, b, 30), "one"))

    def reversal(minor: int, *, force: bool) -> Reversal:
        asked = ReverseTransaction(amount=f"0.{minor}", reason="mistake", force=force)
        return Reversal.of(
            paid.record, asked, initiator=UUID(int=9), idempotency_key=f"{minor}", act=Act(actor=OLGA)
        )

    alone = settled(await transactions.book(OLGA, reversal(10, force=False)))
    assert sides(alone.record) == (b, a, 10, CURRENCY, "mistake")
    asked = waiting(await transactions.book(OLGA, reversal(15, force=True)))
    assert (asked.target_id, asked.requester_id, asked.parameters["force"]) == (b, OLGA.user_id, True)
    same = waiting(await transactions.book(OLGA, reversal(15, force=True)))
    assert same.id == asked.id
    await desk.approvals.approve(OMAR, asked.id)
    done = settled(await transactions.book(OLGA, reversal(15, force=True)))
    assert (done.replayed, done.record.data["overdraws"], done.record.data["amount"]) == (True, True, 15)
    with pytest.raises(ConflictError) as again:
        await transactions._carry_out(asked, OMAR)
    assert again.value.code == "approval_decided"
    own = replace(OMAR, user_id=OWNER)
    with pytest.raises(ForbiddenError):
        await transactions._carry_out(asked, own)
    found = await process.exact(a, b)
    assert [found[one].balance_minor for one in (a, b)] == [95, 105]


async def test_what_counts_for_the_limit_is_of_that_day(
    process: LedgerProcess, careful: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = careful.transactions
    [a] = await process.open(1)

    async def fund(minor: int, key: str) -> Settled | Approval:
        return await transactions.book(OLGA, funding(OLGA, a, eur(minor), key))

    late = NOW.replace(hour=23).astimezone(timezone(timedelta(hours=-7)))
    monkeypatch.setattr(transactions, "_clock", lambda: late)
    first = settled(await fund(50, "one"))
    # The day is that of UTC.
    assert first.record.entries[2].account_id.endswith(f":{CURRENCY}:2026-11-23")
    waiting(await fund(1, "two"))
    monkeypatch.setattr(transactions, "_clock", lambda: late + timedelta(hours=1))
    assert settled(await fund(50, "three")).record.entries[2].account_id.endswith(":2026-11-24")
