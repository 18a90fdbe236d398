"""Accounts as the routes ask for them, through a node to a real database: opened, read and changed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from uuid import UUID

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from daemons.banking_api.accounts.number import SMALLEST_PAYLOAD, account_number
from daemons.banking_api.accounts.service import Accounts
from daemons.banking_api.ledger.account import Account
from daemons.contracts.errors import (
    BankError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    RejectedError,
)
from daemons.contracts.names import AccountStatus, AccountType
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.audit.record import Actor
from daemons.shared.auth.callers import Caller
from daemons.shared.ids import new_id
from tests.support.desk import NOBODY_ASKS, NOW, Desk, running_desk
from tests.support.ledgers import OWNER, LedgerProcess
from tests.support.policies import asking_for

ALICE = Caller(user_id=OWNER, session_id=UUID(int=1), role=Role.USER, display_name="Alice")
BOB = replace(ALICE, user_id=UUID(int=8), display_name="Bob")
OLGA = Caller(user_id=UUID(int=9), session_id=UUID(int=2), role=Role.OPERATOR, display_name="Olga")
UNFREEZING_TAKES_TWO = StaffPolicy.model_validate(asking_for("unfreeze"))
_payloads: Iterator[int] = count(SMALLEST_PAYLOAD)


def actor(caller: Caller) -> Actor:
    return Actor(
        user_id=caller.user_id,
        display_name=caller.display_name,
        role=caller.role.value,
        address="127.0.0.1",
        request_id="test",
    )


OMAR = replace(actor(OLGA), user_id=UUID(int=10), display_name="Omar")


@asynccontextmanager
async def accounts_with(
    process: LedgerProcess, policy: StaffPolicy, *, most: int | None = None
) -> AsyncIterator[tuple[Accounts, Desk]]:
    async with running_desk(process, policy) as desk:
        yield (
            Accounts(
                desk.node,
                process.accounts,
                desk.approvals,
                policy,
                clock=lambda: NOW,
                new_id=new_id,
                draw_payload=lambda: next(_payloads),
                most_per_user=most,
            ),
            desk,
        )


@pytest_asyncio.fixture
async def accounts(process: LedgerProcess) -> AsyncIterator[Accounts]:
    async with accounts_with(process, NOBODY_ASKS) as (made, _):
        yield made


async def opened(accounts: Accounts, caller: Caller = ALICE, *, key: str | None = None) -> Account:
    made = await accounts.open(
        caller, type_=AccountType.SAVINGS, currency="EUR", name="rainy days", idempotency_key=key
    )
    assert not made.replayed
    return made.account


def done(answer: Account | Approval) -> Account:
    assert isinstance(answer, Account)
    return answer


async def test_an_account_is_opened_as_it_was_asked_for_and_once_under_a_key(accounts: Accounts) -> None:
    account = await opened(accounts, key="one")
    terms = account.terms
    assert (terms.owner, terms.type, terms.status) == (OWNER, AccountType.SAVINGS, AccountStatus.ACTIVE)
    assert (terms.currency, terms.name, terms.opened_at) == ("EUR", "rainy days", NOW)
    assert (account.balance_minor, account.sequence) == (0, 0)
    assert await accounts.fetch(ALICE, account.id) == account
    renamed = await accounts.rename(ALICE, actor(ALICE), account.id, "rent")
    again = await accounts.open(
        ALICE, type_=AccountType.SAVINGS, currency="EUR", name="rainy days", idempotency_key="one"
    )
    # It is told as it is now.
    assert (again.replayed, again.account) == (True, renamed)
    with pytest.raises(RejectedError) as reused:
        await accounts.open(
            ALICE, type_=AccountType.CHECKING, currency="EUR", name="rainy days", idempotency_key="one"
        )
    assert reused.value.code == "idempotency_key_reused"
    with pytest.raises(InvalidRequestError):
        await accounts.open(ALICE, type_=AccountType.SAVINGS, currency="XXX", name=None, idempotency_key=None)
    # Without a key each is another one.
    assert len({(await opened(accounts)).id, (await opened(accounts)).id, account.id}) == 3


async def test_of_the_four_numbers_drawn_the_first_that_is_free_is_taken(
    process: LedgerProcess, accounts: Accounts
) -> None:
    one, other = next(_payloads), next(_payloads)
    accounts._draw_payload = lambda: one
    assert (await opened(accounts)).id == account_number(one)
    with pytest.raises(BankError) as none_free:
        await opened(accounts)
    assert none_free.value.code == "unavailable"
    accounts._draw_payload = iter([one, one, one, other]).__next__
    assert (await opened(accounts)).id == account_number(other)
    assert await process.database["accounts"].count_documents({}) == 2


async def test_a_user_opens_no_more_accounts_than_may_be(process: LedgerProcess) -> None:
    async with accounts_with(process, NOBODY_ASKS, most=2) as (accounts, _):
        await opened(accounts)
        await opened(accounts)
        with pytest.raises(RejectedError) as refused:
            await opened(accounts)
        assert refused.value.code == "account_limit_reached"
        await opened(accounts, BOB)


async def test_owners_reach_their_own_accounts_and_staff_those_that_their_role_names(
    accounts: Accounts,
) -> None:
    account = await opened(accounts)
    other = await opened(accounts, BOB)
    assert (await accounts.fetch(OLGA, account.id)).id == account.id
    changes: list[Callable[[Caller], Awaitable[Account]]] = [
        lambda caller: accounts.fetch(caller, account.id),
        lambda caller: accounts.rename(caller, actor(caller), account.id, "his"),
        lambda caller: accounts.change_type(caller, actor(caller), account.id, AccountType.CHECKING),
        lambda caller: accounts.close(caller, actor(caller), account.id, "his"),
    ]
    for change in changes:
        with pytest.raises(NotFoundError) as missing:
            await change(BOB)
        assert (missing.value.code, account.id in missing.value.message) == ("account_not_found", True)
    assert (await accounts.fetch(ALICE, account.id)) == account
    listed, cursor = await accounts.page(OWNER, status=None, limit=5, cursor=None)
    assert ([one.id for one in listed], cursor) == ([account.id], None)
    everybodys, cursor = await accounts.page(None, status=None, limit=1, cursor=None)
    following, end = await accounts.page(None, status=AccountStatus.ACTIVE, limit=1, cursor=cursor)
    assert {everybodys[0].id, following[0].id, end} == {account.id, other.id, None}
    assert (await accounts.page(None, status=AccountStatus.FROZEN, limit=5, cursor=None)) == ([], None)


async def test_an_owner_changes_what_an_account_is_for_names_and_closes_it(
    process: LedgerProcess, accounts: Accounts
) -> None:
    account = await opened(accounts)
    checking = await accounts.change_type(ALICE, actor(ALICE), account.id, AccountType.CHECKING)
    named = await accounts.rename(ALICE, actor(ALICE), account.id, None)
    closed = await accounts.close(ALICE, actor(ALICE), account.id, "moved abroad")
    expected = account.terms._replace(type=AccountType.CHECKING)
    assert (checking.terms, checking.sequence) == (expected, 1)
    assert (named.terms, named.sequence) == (expected._replace(name=None), 2)
    assert closed.terms == expected._replace(
        name=None, status=AccountStatus.CLOSED, status_reason="moved abroad"
    )
    assert await accounts.fetch(ALICE, account.id) == closed
    # Nobody else's business.
    assert await process.database["audit"].count_documents({}) == 0


async def test_staff_freeze_and_unfreeze_but_not_their_own_and_the_audit_keeps_it(
    process: LedgerProcess, accounts: Accounts
) -> None:
    account = await opened(accounts)
    with capture_logs() as logs:
        frozen = await accounts.freeze(actor(OLGA), account.id, "fraud check")
        active = done(await accounts.unfreeze(actor(OLGA), account.id, "cleared"))
        renamed = await accounts.rename(OLGA, actor(OLGA), account.id, "theirs")
        changed = await accounts.change_type(OLGA, actor(OLGA), account.id, AccountType.CHECKING)
        closed = await accounts.close(OLGA, actor(OLGA), account.id, "by request")
    assert frozen.terms == account.terms._replace(status=AccountStatus.FROZEN, status_reason="fraud check")
    assert active.terms == account.terms._replace(status_reason="cleared")
    assert renamed.terms == active.terms._replace(name="theirs")
    assert changed.terms == renamed.terms._replace(type=AccountType.CHECKING)
    assert (closed.terms.status, closed.terms.status_reason) == (AccountStatus.CLOSED, "by request")
    acts = ["freeze", "unfreeze", "rename", "change_type", "close"]
    logged = [line["action"] for line in logs if line["event"] == "administrative act"]
    kept = [entry async for entry in process.database["audit"].find().sort("_id")]
    assert logged == [entry["action"] for entry in kept] == acts
    assert {entry["actor"]["user_id"] for entry in kept} == {str(OLGA.user_id)}
    own = await opened(accounts, OLGA)
    with pytest.raises(ForbiddenError) as refused:
        await accounts.freeze(actor(OLGA), own.id, "mine")
    assert refused.value.code == "own_account"
    with pytest.raises(ValueError, match="by somebody's hand only"):
        await accounts.freeze(replace(actor(OLGA), user_id=None), own.id, "nobody's")


async def test_unfreezing_waits_for_a_second_person_who_sees_what_was_asked_about(
    process: LedgerProcess,
) -> None:
    async with accounts_with(process, UNFREEZING_TAKES_TWO) as (accounts, desk):
        account = await opened(accounts)
        for refused, code in ((account.id, "account_not_frozen"), ("1234567897", "account_not_found")):
            with pytest.raises(BankError) as impossible:
                await accounts.unfreeze(actor(OLGA), refused, "cleared")
            assert impossible.value.code == code
        await accounts.freeze(actor(OLGA), account.id, "fraud check")
        asked = await accounts.unfreeze(actor(OLGA), account.id, "cleared")
        assert isinstance(asked, Approval)
        assert (asked.act, asked.target_kind, asked.target_id) == (
            GuardedAct.UNFREEZE,
            "account",
            account.id,
        )
        assert (asked.reason, asked.parameters) == (
            "cleared",
            {"frozen_because": "fraud check", "sequence": 1},
        )
        assert (await accounts.fetch(ALICE, account.id)).terms.status is AccountStatus.FROZEN
        await desk.approvals.approve(OMAR, asked.id)
        active = await accounts.fetch(ALICE, account.id)
        assert active.terms == account.terms._replace(status_reason="cleared")
        # What is approved is what was asked about: not an account that was frozen anew.
        await accounts.freeze(actor(OLGA), account.id, "again")
        late = await accounts.unfreeze(actor(OLGA), account.id, "cleared again")
        assert isinstance(late, Approval)
        await accounts.rename(ALICE, actor(ALICE), account.id, "other")
        with pytest.raises(ConflictError) as outdated:
            await desk.approvals.approve(OMAR, late.id)
        assert outdated.value.code == "approval_outdated"
        kept = [entry async for entry in process.database["audit"].find({"action": "unfreeze"})]
        by = [(entry["actor"]["user_id"], entry["approval"]["id"]) for entry in kept if entry["approval"]]
        assert by == [(str(OMAR.user_id), str(asked.id))]
