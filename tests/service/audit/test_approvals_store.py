"""Requests for a second person alone over a real MongoDB: kept, found, decided once, and recorded."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from daemons.contracts.errors import BankError, ConflictError
from daemons.contracts.names import ApprovalStatus
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Approval, Standing, approval_withdrawn
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.record import SHELL, Actor
from daemons.shared.audit.refusals import RefusalRecorder
from daemons.shared.audit.trail import AuditFilter, MongoAuditTrail
from daemons.shared.mongo import Client, Session, connect, run_transaction

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPERATOR = Standing(role=Role.OPERATOR, locked=False, rights_lost_at=None)
PARAMETERS = {"amount": "500.00", "currency": "EUR", "reference": None}
Record = dict[str, Any]


def operator(name: str) -> Actor:
    return Actor(
        user_id=uuid4(), display_name=name, role="operator", address="192.0.2.7", request_id=f"of {name}"
    )


OLGA, OMAR = operator("Olga"), operator("Omar")


@dataclass
class Desk:
    """The approvals of a daemon whose only act adds up what is funded; its time is moved by the test."""

    client: Client
    store: MongoApprovals
    audit: MongoAuditTrail
    now: datetime = NOW
    asked_about: list[set[UUID]] = field(default_factory=list)
    standings: dict[UUID | None, Standing] = field(
        default_factory=lambda: {OLGA.user_id: OPERATOR, OMAR.user_id: OPERATOR}
    )
    lost_meanwhile: bool = False
    act_fails: bool = False

    def __post_init__(self) -> None:
        self.approvals = Approvals(
            self.client,
            self.store,
            self.audit,
            standings=self._standings,
            policy=StaffPolicy(),
            hold_people=self._hold,
            clock=lambda: self.now,
        )
        self.approvals.carry_out_by({GuardedAct.FUND: self._fund})

    async def _standings(self, user_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        self.asked_about.append(set(user_ids))
        return {one: self.standings[one] for one in user_ids if one in self.standings}

    async def _hold(self, approval: Approval, _by: Actor, session: Session) -> None:
        assert session.in_transaction
        if self.lost_meanwhile:
            raise approval_withdrawn(f"{approval.requested_by['display_name']} was locked just now")

    async def _fund(self, approval: Approval, by: Actor) -> None:
        async def body(session: Session) -> None:
            await self.approvals.mark_approved(approval, by, outcome={"booked": True}, session=session)
            if self.act_fails:
                raise ZeroDivisionError

        await run_transaction(self.client, body)

    async def ask(self, by: Actor = OLGA, *, key: str | None = None, **changed: Any) -> Approval:
        given: Record = {
            "act": GuardedAct.FUND,
            "target": ("account", "4000000006"),
            "reason": "payroll",
            "parameters": PARAMETERS,
            **changed,
        }
        act = given.pop("act")
        return await self.approvals.request(by, act, idempotency_key=key, **given)

    async def trail(self) -> list[Record]:
        """Return the records, newest first, without their places in the chain."""
        found = await self.audit.page(AuditFilter(), before=None, limit=100)
        places = {"seq", "documents", "previous_hash", "hash"}
        return [{name: value for name, value in one.items() if name not in places} for one in found]

    async def listed(self, status: ApprovalStatus | None, **more: Any) -> list[UUID]:
        page = await self.approvals.page(status=status, **{"before": None, "limit": 100, **more})
        return [one.id for one in page]


@pytest.fixture
async def desk(mongo_uri: str, database_name: str) -> AsyncIterator[Desk]:
    async with connect(mongo_uri, daemon="tests") as client:
        database = client[database_name]
        store, audit = MongoApprovals(database), MongoAuditTrail(database, chain="banking_api")
        await store.prepare()
        await audit.prepare()
        yield Desk(client, store, audit)


def code_of(error: pytest.ExceptionInfo[BankError]) -> str:
    return error.value.code


def recorded(actor: Actor, action: str, at: str, **more: Any) -> Record:
    return {
        "at": at,
        "actor": {"user_id": str(actor.user_id), "display_name": actor.display_name, "role": "operator"},
        "action": action,
        "target": {"kind": "account", "id": "4000000006"},
        "reason": "payroll",
        "request_id": actor.request_id,
        "address": "192.0.2.7",
        "before": None,
        "after": PARAMETERS,
        **more,
    }


async def test_a_request_is_kept_whole_with_its_record(desk: Desk) -> None:
    with capture_logs() as logs:
        asked = await desk.ask(key="payroll-11")
    assert asked == Approval(
        id=asked.id,
        act=GuardedAct.FUND,
        target_kind="account",
        target_id="4000000006",
        reason="payroll",
        parameters=PARAMETERS,
        requester_id=OLGA.user_id or UUID(int=0),
        requested_by=OLGA.person(),
        requested_at=NOW,
        expires_at=NOW + 24 * HOUR,
        idempotency_key="payroll-11",
    )
    assert await desk.approvals.fetch(asked.id) == asked
    [record] = await desk.trail()
    first = {"id": str(asked.id), "requested_by": OLGA.person(), "requested_at": "2026-11-23T12:00:00.000Z"}
    assert record == recorded(OLGA, "fund.requested", "2026-11-23T12:00:00.000Z", approval=first)
    assert [line["action"] for line in logs] == ["fund.requested"]
    with pytest.raises(BankError) as missing:
        await desk.approvals.fetch(uuid4())
    assert code_of(missing) == "approval_not_found"
    with pytest.raises(ValueError, match="asks nobody"):
        await desk.ask(SHELL)


async def test_the_same_key_finds_the_same_request_and_no_other(desk: Desk) -> None:
    asked = await desk.ask(key="k")
    assert await desk.ask(key="k") == replace(asked, replayed=True)
    # The reason is words about it.
    assert (await desk.ask(key="k", reason="again")).id == asked.id
    assert await desk.approvals.find_by_key(asked.requester_id, "k") == asked
    assert await desk.approvals.find_by_key(uuid4(), "k") is None
    for other in (
        {"act": GuardedAct.ADJUST},
        {"target": ("account", "4119038413")},
        {"target": ("user", "4000000006")},
        {"parameters": {**PARAMETERS, "amount": "500.01"}},
    ):
        with pytest.raises(BankError) as refused:
            await desk.ask(key="k", **other)
        assert code_of(refused) == "idempotency_key_reused"
    # Others have keys of their own, and without one each is a new request.
    assert (await desk.ask(OMAR, key="k")).id != asked.id
    assert (await desk.ask()).id != (await desk.ask()).id
    assert len(await desk.trail()) == 4


async def test_it_is_carried_out_once_by_somebody_else(desk: Desk) -> None:
    asked = await desk.ask()
    with pytest.raises(BankError) as own:
        await desk.approvals.approve(OLGA, asked.id)
    assert code_of(own) == "own_request"
    desk.now = NOW + HOUR
    outcomes = await asyncio.gather(
        *(desk.approvals.approve(OMAR, asked.id) for _ in range(4)), return_exceptions=True
    )
    [done] = [one for one in outcomes if isinstance(one, Approval)]
    assert {one.code for one in outcomes if isinstance(one, BankError)} == {"approval_decided"}
    assert done.stored_status is ApprovalStatus.APPROVED
    assert done.decision is not None
    assert (done.decision.by, done.decision.at) == (OMAR.person(), NOW + HOUR)
    assert (done.decision.reason, done.decision.outcome) == (None, {"booked": True})
    assert await desk.approvals.fetch(asked.id) == done


async def test_it_is_rejected_once_with_a_record(desk: Desk) -> None:
    asked = await desk.ask()
    desk.now = NOW + HOUR
    with capture_logs() as logs:
        rejected = await desk.approvals.reject(OMAR, asked.id, reason="not yet")
    assert [line["action"] for line in logs] == ["fund.rejected"]
    assert rejected.stored_status is ApprovalStatus.REJECTED
    assert rejected.decision is not None
    assert (rejected.decision.by, rejected.decision.at) == (OMAR.person(), NOW + HOUR)
    assert (rejected.decision.reason, rejected.decision.outcome) == ("not yet", None)
    [record, _] = await desk.trail()
    assert record == recorded(
        OMAR, "fund.rejected", "2026-11-23T13:00:00.000Z", reason="not yet", approval=asked.audit_fields()
    )
    for again in (desk.approvals.approve(OMAR, asked.id), desk.approvals.reject(OMAR, asked.id, reason="x")):
        with pytest.raises(ConflictError) as late:
            await again
        assert code_of(late) == "approval_decided"
    # One's own may be taken back.
    own = await desk.approvals.reject(OLGA, (await desk.ask()).id, reason="mistyped")
    assert own.stored_status is ApprovalStatus.REJECTED


async def test_what_expires_while_it_is_being_decided_is_not_decided(desk: Desk) -> None:
    asked = await desk.ask()
    desk.now = asked.expires_at
    for late in (desk.approvals.approve(OMAR, asked.id), desk.approvals.reject(OMAR, asked.id, reason="x")):
        with pytest.raises(ConflictError) as refused:
            await late
        assert code_of(refused) == "approval_expired"
    # As if it had expired only after it was read.
    with pytest.raises(ConflictError) as decided:
        await desk._fund(asked, OMAR)
    assert code_of(decided) == "approval_decided"
    desk.now = asked.expires_at - timedelta(milliseconds=1)
    assert (await desk.approvals.approve(OMAR, asked.id)).stored_status is ApprovalStatus.APPROVED


async def test_a_requester_who_loses_the_right_is_noticed_before_and_within_the_act(desk: Desk) -> None:
    asked = await desk.ask()
    desk.lost_meanwhile = True
    with pytest.raises(ConflictError, match="Olga was locked just now") as within:
        await desk.approvals.approve(OMAR, asked.id)
    assert code_of(within) == "approval_withdrawn"
    desk.lost_meanwhile = False
    desk.standings[OLGA.user_id] = replace(OPERATOR, locked=True)
    for late in (desk.approvals.approve(OMAR, asked.id), desk.approvals.reject(OMAR, asked.id, reason="x")):
        with pytest.raises(ConflictError) as before:
            await late
        assert code_of(before) == "approval_withdrawn"
    assert (await desk.approvals.fetch(asked.id)).stored_status is ApprovalStatus.PENDING


async def test_a_decision_is_undone_with_what_was_to_be_done(desk: Desk) -> None:
    asked = await desk.ask()
    desk.act_fails = True
    with pytest.raises(ZeroDivisionError):
        await desk.approvals.approve(OMAR, asked.id)
    assert await desk.approvals.fetch(asked.id) == asked
    # What cannot be recorded is neither requested nor rejected.
    await desk.audit._heads.delete_many({})
    with pytest.raises(RuntimeError):
        await desk.approvals.reject(OMAR, asked.id, reason="x")
    with pytest.raises(RuntimeError):
        await desk.ask()
    assert await desk.approvals.fetch(asked.id) == asked
    assert await desk.listed(None) == [asked.id]


async def test_only_those_whose_requests_wait_are_asked_about(desk: Desk) -> None:
    waiting, of_omar = await desk.ask(), await desk.ask(OMAR)
    rejected = await desk.approvals.reject(OLGA, (await desk.ask(OMAR)).id, reason="x")
    desk.asked_about.clear()
    judged = await desk.approvals.judge([waiting, rejected])
    assert [one.status for one in judged] == [ApprovalStatus.PENDING, ApprovalStatus.REJECTED]
    assert desk.asked_about == [{OLGA.user_id}]
    await desk.approvals.judge([rejected])
    desk.now = NOW + 24 * HOUR
    [late] = await desk.approvals.judge([of_omar])
    assert (late.status, desk.asked_about) == (ApprovalStatus.EXPIRED, [{OLGA.user_id}])


async def test_requests_are_listed_newest_first_by_what_they_are_now(desk: Desk) -> None:
    old = [await desk.ask() for _ in range(2)]
    desk.now = NOW + 24 * HOUR - timedelta(milliseconds=1)
    done = await desk.approvals.approve(OMAR, (await desk.ask()).id)
    refused = await desk.approvals.reject(OMAR, (await desk.ask()).id, reason="x")
    new = await desk.ask()
    everything = [new.id, refused.id, done.id, old[1].id, old[0].id]
    assert await desk.listed(None) == everything
    assert await desk.listed(None, limit=2) == everything[:2]
    assert await desk.listed(None, before=done.id) == everything[3:]
    for waiting in (ApprovalStatus.PENDING, ApprovalStatus.WITHDRAWN):
        assert await desk.listed(waiting) == [new.id, old[1].id, old[0].id]
    assert await desk.listed(ApprovalStatus.EXPIRED) == []
    desk.now = NOW + 24 * HOUR
    for waiting in (ApprovalStatus.PENDING, ApprovalStatus.WITHDRAWN):
        assert await desk.listed(waiting) == [new.id]
    assert await desk.listed(ApprovalStatus.EXPIRED) == [old[1].id, old[0].id]
    assert await desk.listed(ApprovalStatus.EXPIRED, before=old[1].id) == [old[0].id]
    assert await desk.listed(ApprovalStatus.APPROVED) == [done.id]
    assert await desk.listed(ApprovalStatus.REJECTED) == [refused.id]


async def test_requests_have_indexes_one_of_which_lets_a_key_be_used_once(
    desk: Desk, database_name: str
) -> None:
    found = await desk.client[database_name]["approvals"].index_information()
    assert list(found["by_status"]["key"]) == [("status", 1), ("_id", -1)]
    once = found["requested_once"]
    assert (list(once["key"]), once["unique"]) == ([("requester_id", 1), ("idempotency_key", 1)], True)


async def test_who_is_refused_is_recorded_once_a_minute_for_each_route_and_fault(desk: Desk) -> None:
    refusals = RefusalRecorder(desk.audit, clock=lambda: desk.now)

    async def refuse(code: str = "forbidden", path: str = "/accounts/1/freeze", by: Actor = OLGA) -> None:
        await refusals.record(by, route="PATCH /accounts/{id}/freeze", path=path, code=code)

    await refuse(path="/" + "x" * 200)
    await refuse()
    await refuse("own_account")
    await refuse(by=OMAR)
    desk.now += timedelta(minutes=1)
    await refuse()
    newest, of_omar, own, first = await desk.trail()
    assert first == recorded(
        OLGA,
        "access.refused",
        "2026-11-23T12:00:00.000Z",
        target={"kind": "route", "id": "PATCH /accounts/{id}/freeze"},
        reason="forbidden",
        after={"path": "/" + "x" * 199, "others_left_out": 0},
        approval=None,
    )
    assert (own["reason"], own["after"]["others_left_out"]) == ("own_account", 1)
    assert of_omar["actor"]["display_name"] == "Omar"
    assert newest["after"] == {"path": "/accounts/1/freeze", "others_left_out": 0}
    for number in range(70):
        await refuse(f"fault {number}")
    assert len(await desk.trail()) == 4 + 59
