"""Transfers and fundings as the routes ask for them, through the engine to a real ledger."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from daemons.banking_api.domain.journal import PostingCommand, TransactionKind
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.services.succession import Batch
from daemons.banking_api.services.transfers import TransferOrder, Transfers, transfer_command
from structlog.testing import capture_logs

from daemons.banking_api.money import Money
from daemons.contracts.errors import (
    BankError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    TransientError,
)
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import SHELL, Actor
from daemons.shared.auth.callers import Caller
from daemons.shared.ids import new_id
from tests.support.ledgers import BANK, CURRENCY, OWNER, Acts, LedgerProcess, told

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ALICE = Caller(user_id=OWNER, session_id=UUID(int=1), role=Role.USER, display_name="Alice")
BOB = replace(ALICE, user_id=UUID(int=8), display_name="Bob")
OLGA = Actor(
    user_id=UUID(int=9), display_name="Olga", role="operator", address="127.0.0.1", request_id="test"
)


def eur(minor: int) -> Money:
    return Money(minor, CURRENCY)


def order(sender: str, receiver: str, minor: int, *, reference: str | None = None) -> TransferOrder:
    return TransferOrder(sender, receiver, eur(minor), reference)


@pytest.fixture
def transfers(process: LedgerProcess, engine: CommitEngine) -> Transfers:
    return Transfers(engine, process.ledger, process.accounts, clock=lambda: NOW, new_id=new_id)


async def test_a_transfer_is_kept_as_it_was_ordered_and_told_again_under_its_key(
    process: LedgerProcess, transfers: Transfers
) -> None:
    a, b = await process.open(2, balance=100)
    settled = await transfers.transfer_funds(ALICE, order(a, b, 30, reference="rent"), idempotency_key="one")
    kept = settled.transaction
    assert not settled.replayed
    assert (kept.kind, kept.initiator, kept.from_owner) == (TransactionKind.TRANSFER, OWNER, OWNER)
    assert (kept.from_account, kept.to_account, kept.amount_minor, kept.currency, kept.reference) == (
        a,
        b,
        30,
        CURRENCY,
        "rent",
    )
    again = await transfers.transfer_funds(ALICE, order(a, b, 30, reference="rent"), idempotency_key="one")
    assert (again.transaction.id, again.replayed) == (kept.id, True)
    with pytest.raises(RejectedError) as reused:
        await transfers.transfer_funds(ALICE, order(a, b, 30), idempotency_key="one")
    assert (reused.value.code, reused.value.details) == ("idempotency_key_reused", {})


async def test_a_refusal_is_kept_and_told_again(process: LedgerProcess, transfers: Transfers) -> None:
    a, b = await process.open(2, balance=100)
    details = []
    for replayed in (False, True):
        with pytest.raises(RejectedError) as refused:
            await transfers.transfer_funds(ALICE, order(a, b, 101), idempotency_key="poor")
        assert (refused.value.code, refused.value.replayed) == ("insufficient_funds", replayed)
        details.append(refused.value.details)
    kept = await process.database["journal"].find_one({"status": "failed"})
    assert kept is not None
    assert details == [{"transaction_id": str(kept["_id"])}] * 2
    with pytest.raises(NotFoundError):
        await transfers.transfer_funds(BOB, order(a, b, 1), idempotency_key="theft")


async def test_what_is_begun_is_decided_in_order_and_told_one_by_one(
    process: LedgerProcess, transfers: Transfers
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    batch = Batch()
    commands = [
        transfer_command(ALICE, order(a, b, 100), "one"),
        transfer_command(ALICE, order(b, c, 100), "two"),
        transfer_command(ALICE, order(a, c, 1), "three"),
    ]
    begun = [transfers.begin(command, batch) for command in commands]
    assert (batch.waiting, batch.unsettled) == (3, False)
    in_use = transfers.begin(commands[0], batch)
    assert isinstance(in_use, ConflictError)
    assert batch.unsettled
    first, nothing, second, third, same = await transfers.end([begun[0], None, *begun[1:], in_use])
    assert (nothing, same, batch.waiting) == (None, in_use, 0)
    assert [told(one) for one in (first, second, third) if one and not isinstance(one, BankError)] == [
        "completed",
        "completed",
        "insufficient_funds",
    ]
    other = transfer_command(ALICE, order(a, b, 5), "one")
    [reused] = await transfers.end([transfers.begin(other, Batch())])
    assert isinstance(reused, RejectedError)
    assert reused.code == "idempotency_key_reused"


async def test_what_is_begun_together_is_done_together_or_refused_together(
    process: LedgerProcess, transfers: Transfers, engine: CommitEngine
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    commands = [
        transfer_command(ALICE, order(a, b, 100), "one"),
        transfer_command(ALICE, order(b, c, 100), "two"),
    ]
    batch = Batch()
    begun = transfers.begin_atomic(commands, batch)
    assert batch.waiting == 2
    done = await transfers.end(begun)
    assert [told(one) for one in done if one and not isinstance(one, BankError)] == ["completed"] * 2
    assert (batch.waiting, batch.unsettled) == (0, False)
    poor = [
        transfer_command(ALICE, order(c, a, 1), "three"),
        transfer_command(ALICE, order(a, b, 100), "four"),
    ]
    refused = await transfers.end(transfers.begin_atomic(poor, batch))
    assert [one.code for one in refused if isinstance(one, BankError)] == [
        "atomic_batch_refused",
        "insufficient_funds",
    ]
    assert not batch.unsettled
    await engine.close()
    late = await transfers.end(transfers.begin_atomic(poor, batch))
    assert [type(one) for one in late] == [TransientError] * 2
    assert batch.unsettled


async def test_a_preview_tells_what_would_be_and_does_nothing(
    process: LedgerProcess, transfers: Transfers
) -> None:
    a, b = await process.open(2, balance=100)
    preview = await transfers.preview(ALICE, order(a, b, 30))
    assert (preview.failure, preview.balance_minor, preview.balance_after_minor) == (None, 100, 70)
    assert (preview.currency, preview.from_owner, preview.to_owner) == (CURRENCY, OWNER, OWNER)
    poor = await transfers.preview(ALICE, order(a, b, 101))
    assert poor.failure is not None
    assert (poor.failure.code, poor.balance_after_minor) == ("insufficient_funds", None)
    nowhere = await transfers.preview(ALICE, order(a, "1234567897", 1))
    assert nowhere.to_owner is None
    for caller, sender in ((BOB, a), (ALICE, "1234567897")):
        with pytest.raises(NotFoundError) as missing:
            await transfers.preview(caller, order(sender, b, 1))
        assert (missing.value.code, sender in missing.value.message) == ("account_not_found", True)
    assert await process.database["journal"].count_documents({"kind": "transfer"}) == 0


async def test_a_slice_is_looked_at_behind_what_earlier_ones_would_have_done(
    process: LedgerProcess, transfers: Transfers
) -> None:
    a, b, c = await process.open(3, balance=100)
    kept = await transfers.transfer_funds(ALICE, order(a, b, 10), idempotency_key="known")
    commands = [
        transfer_command(ALICE, order(a, b, 10), "known"),
        transfer_command(ALICE, order(a, b, 60), "new"),
    ]
    # One account is named by earlier rows only.
    found = await transfers.preview_slice(ALICE, commands, {a: "-0.20", c: "0.20"})
    known, new = found.rows
    assert (known.outcome.transaction, known.outcome.replayed) == (kept.transaction, True)
    assert (new.balance_after_minor, new.outcome.transaction.created_at) == (10, NOW)
    assert found.carried == {a: "-0.80", b: "0.60", c: "0.20"}
    assert await process.database["journal"].count_documents({"kind": "transfer"}) == 1
    with pytest.raises(BankError):
        await transfers.preview_slice(BOB, commands, {a: "-0.20"})


@contextmanager
def acts_logged(*actions: str) -> Iterator[None]:
    """See that these administrative acts, and no others, are logged within the block."""
    with capture_logs() as logs:
        yield
    logged = [line for line in logs if line["event"] == "administrative act"]
    assert [line["action"] for line in logged] == list(actions)
    assert {line["actor"] for line in logged} <= {str(OLGA.user_id)}


async def test_a_funding_is_booked_once_by_who_does_it(process: LedgerProcess, transfers: Transfers) -> None:
    [a] = await process.open(1)
    with acts_logged("fund"):
        funded = await transfers.fund_account(OLGA, a, eur(70), reference="cash", idempotency_key="one")
    kept = funded.transaction
    assert (kept.kind, kept.initiator, kept.from_owner) == (TransactionKind.FUNDING, OLGA.user_id, None)
    assert (kept.from_account, kept.to_account, kept.amount_minor, kept.currency, kept.reference) == (
        BANK,
        a,
        70,
        CURRENCY,
        "cash",
    )
    with acts_logged():
        again = await transfers.fund_account(OLGA, a, eur(70), reference="cash", idempotency_key="one")
        assert (again.transaction.id, again.replayed) == (kept.id, True)
        with pytest.raises(RejectedError):
            await transfers.fund_account(OLGA, a, eur(71), reference="cash", idempotency_key="one")
    # The bank's own account of a currency is made when it is first needed.
    with acts_logged("fund"), pytest.raises(RejectedError) as refused:
        await transfers.fund_account(OLGA, a, Money(5, "USD"), reference=None, idempotency_key="two")
    assert refused.value.code == "currency_mismatch"


async def test_what_staff_may_not_fund_is_refused_before_anything_is_booked(
    process: LedgerProcess, transfers: Transfers
) -> None:
    [a] = await process.open(1)
    own = replace(OLGA, user_id=OWNER)
    with pytest.raises(ForbiddenError) as forbidden:
        await transfers.fund_account(own, a, eur(1), reference=None, idempotency_key="k")
    assert forbidden.value.code == "own_account"
    with pytest.raises(NotFoundError) as missing:
        await transfers.fund_account(OLGA, "1234567897", eur(1), reference=None, idempotency_key="k")
    assert (missing.value.code, "1234567897" in missing.value.message) == ("account_not_found", True)
    with pytest.raises(ValueError, match="by somebody's hand only"):
        await transfers.fund_account(SHELL, a, eur(1), reference=None, idempotency_key="k")
    assert await process.database["journal"].count_documents({}) == 0


async def test_a_key_is_new_until_something_is_posted_under_it_by_the_same_person(
    process: LedgerProcess, transfers: Transfers
) -> None:
    a, b = await process.open(2, balance=100)
    await transfers.check_key_is_new(OWNER, "one")
    await transfers.transfer_funds(ALICE, order(a, b, 1), idempotency_key="one")
    with pytest.raises(RejectedError) as used:
        await transfers.check_key_is_new(OWNER, "one")
    assert used.value.code == "idempotency_key_reused"
    await transfers.check_key_is_new(OWNER, "two")
    await transfers.check_key_is_new(BOB.user_id, "one")


def approval_to_fund(account: str) -> Approval:
    return Approval(
        id=uuid4(),
        act=GuardedAct.FUND,
        target_kind="account",
        target_id=account,
        reason=None,
        parameters={},
        requester_id=UUID(int=5),
        requested_by={},
        requested_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )


async def test_what_two_have_agreed_on_is_booked_for_who_asked_and_refused_alone(
    acting: tuple[LedgerProcess, CommitEngine, Acts],
) -> None:
    process, engine, acts = acting
    transfers = Transfers(engine, process.ledger, process.accounts, clock=lambda: NOW, new_id=new_id)
    [a] = await process.open(1)
    approval = approval_to_fund(a)
    acts.error = ConflictError("approval_decided", "by the test")
    with acts_logged(), pytest.raises(ConflictError) as decided:
        await transfers.fund_approved(OLGA, approval, a, eur(70), reference="cash", idempotency_key="one")
    assert decided.value is acts.error
    acts.error = None
    with acts_logged("fund"):
        funded = await transfers.fund_approved(
            OLGA, approval, a, eur(70), reference="cash", idempotency_key="one"
        )
    kept = funded.transaction
    assert (kept.initiator, kept.to_account, kept.amount_minor, kept.reference) == (
        approval.requester_id,
        a,
        70,
        "cash",
    )
    [(command, transaction)] = acts.told
    assert transaction == kept
    assert command.act is not None
    assert (command.act.actor, command.act.approval, command.act.alone_limit_minor) == (OLGA, approval, None)


async def test_beyond_what_one_may_fund_alone_that_alone_is_refused(
    acting: tuple[LedgerProcess, CommitEngine, Acts],
) -> None:
    process, engine, acts = acting
    transfers = Transfers(engine, process.ledger, process.accounts, clock=lambda: NOW, new_id=new_id)
    [a] = await process.open(1)
    acts.error = LookupError("beyond the limit, by the test")
    with pytest.raises(LookupError):
        await transfers.fund_account(
            OLGA, a, eur(70), reference=None, idempotency_key="one", alone_limit_minor=50
        )
    acts.error = None
    funded = await transfers.fund_account(
        OLGA, a, eur(50), reference=None, idempotency_key="two", alone_limit_minor=50
    )
    # Where nothing bounds it, it is posted with others.
    free = await transfers.fund_account(OLGA, a, eur(9), reference=None, idempotency_key="three")
    limits: Sequence[tuple[PostingCommand, int | None]] = [
        (command, command.act.alone_limit_minor) for command, _ in acts.told if command.act is not None
    ]
    assert [limit for _, limit in limits] == [50, None]
    assert [transaction for _, transaction in acts.told] == [funded.transaction, free.transaction]
    await engine.close()
    with pytest.raises(TransientError):
        await transfers.fund_account(OLGA, a, eur(9), reference=None, idempotency_key="late")
