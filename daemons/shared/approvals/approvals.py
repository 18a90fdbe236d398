"""Requesting, approving and rejecting: the same for every daemon; carrying out an act is the daemon's own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import RejectedError
from daemons.contracts.names import ApprovalStatus
from daemons.shared.approvals.approval import (
    LIFETIME,
    Approval,
    Decision,
    Judged,
    Standings,
    approval_not_found,
    check_decidable,
)
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail, log_act
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.shared.mongo import Client, Session

CarryOut = Callable[[Approval, Actor], Awaitable[None]]
"""Does what was requested, in the approver's name.

It must call `Approvals.mark_approved` in the transaction of the act, so that both happen or neither.
"""
HoldPeople = Callable[[Approval, Actor, Session], Awaitable[None]]
"""Refuses within the transaction of the act if either of the two has lost the right to it meanwhile."""


class Approvals:
    """The requests of one daemon."""

    def __init__(
        self,
        client: Client,
        store: MongoApprovals,
        audit: MongoAuditTrail,
        *,
        standings: Standings,
        policy: StaffPolicy,
        hold_people: HoldPeople | None = None,
        clock: Clock,
    ) -> None:
        self._work = UnitOfWork(client, audit, AuditedTransaction)
        self._store = store
        self._standings = standings
        self.policy = policy
        self._hold_people = hold_people
        self._clock = clock
        self._carry_out: dict[GuardedAct, CarryOut] = {}

    def carry_out_by(self, acts: Mapping[GuardedAct, CarryOut]) -> None:
        """Say how approved acts are carried out; the composition root does it once."""
        self._carry_out.update(acts)

    async def request(
        self,
        by: Actor,
        act: GuardedAct,
        *,
        target: tuple[str, str],
        reason: str | None,
        parameters: Mapping[str, Any],
        idempotency_key: str | None = None,
    ) -> Approval:
        """Keep a request and its audit record; with a key used before, return the request made then.

        Raises:
            RejectedError: `idempotency_key_reused`; the key stands for another request.
        """
        if by.user_id is None:
            raise ValueError("the server's shell asks nobody")
        now = self._clock()
        approval = Approval(
            id=new_id(),
            act=act,
            target_kind=target[0],
            target_id=target[1],
            reason=reason,
            parameters=dict(parameters),
            requester_id=by.user_id,
            requested_by=by.person(),
            requested_at=now,
            expires_at=now + LIFETIME,
            idempotency_key=idempotency_key,
        )
        entry = self._entry(approval, by, "requested", reason=reason, at=now)

        try:
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    await self._store.insert(approval, session=tx.session)
                    tx.audit(entry)
        except DuplicateKeyError:
            if idempotency_key is None:
                raise
            return await self._requested_before(approval, idempotency_key)
        log_act(entry)
        return approval

    async def find_by_key(self, requester_id: UUID, idempotency_key: str) -> Approval | None:
        """Return the request that this person made under this key."""
        return await self._store.find_by_key(requester_id, idempotency_key)

    async def fetch(self, approval_id: UUID) -> Approval:
        """Return a request.

        Raises:
            NotFoundError: `approval_not_found`.
        """
        found = await self._store.find(approval_id)
        if found is None:
            raise approval_not_found()
        return found

    async def page(self, *, status: ApprovalStatus | None, before: UUID | None, limit: int) -> list[Approval]:
        """Return requests, newest first; with a status, those that `judge` may find to have it."""
        return await self._store.page(status=status, now=self._clock(), before=before, limit=limit)

    async def judge(self, approvals: Sequence[Approval]) -> list[Judged]:
        """Return the requests with their status now.

        Raises:
            TransientError: the requesters' standing is unknown at the moment.
        """
        now = self._clock()
        waiting = {one.requester_id for one in approvals if one.status(now) is ApprovalStatus.PENDING}
        standings = await self._standings(waiting) if waiting else {}
        return [approval.judged(now, standings.get(approval.requester_id)) for approval in approvals]

    async def approve(self, by: Actor, approval_id: UUID) -> Approval:
        """Carry out what was requested, exactly once, however many approve at the same time.

        Raises:
            NotFoundError: `approval_not_found`.
            ForbiddenError: `own_request`, `own_account`, or `granted_role`: the requester gave the approver
                their role a short while ago.
            ConflictError: `approval_decided`, `approval_expired`, `approval_withdrawn`, `approval_outdated`,
                or the act is not possible any more.
        """
        approval = await self.fetch(approval_id)
        approver = approval.check_other_person(by.user_id)
        now = self._clock()
        standings = await self._standings({approval.requester_id, approver})
        check_decidable(approval.judged(now, standings.get(approval.requester_id)))
        if (standing := standings.get(approver)) is not None:
            standing.check_independent(approval.requester_id, since=self.policy.granted_since(now))
        await self._carry_out[approval.act](approval, by)
        return await self.fetch(approval_id)

    async def mark_approved(
        self, approval: Approval, by: Actor, *, outcome: dict[str, Any] | None, session: Session
    ) -> None:
        """Mark the request as approved in the transaction of the act.

        Raises:
            ConflictError: `approval_decided`, `approval_withdrawn`; the transaction must not go on.
        """
        if self._hold_people is not None:
            await self._hold_people(approval, by, session)
        decision = Decision(by=by.person(), at=self._clock(), reason=None, outcome=outcome)
        await self._store.decide(approval.id, ApprovalStatus.APPROVED, decision, session=session)

    async def reject(self, by: Actor, approval_id: UUID, *, reason: str) -> Approval:
        """Refuse a request, or take back one's own.

        Raises:
            NotFoundError: `approval_not_found`.
            ConflictError: `approval_decided`, `approval_expired`, `approval_withdrawn`.
        """
        approval = await self.fetch(approval_id)
        now = self._clock()
        [judged] = await self.judge([approval])
        check_decidable(judged)
        decision = Decision(by=by.person(), at=now, reason=reason, outcome=None)
        entry = self._entry(approval, by, "rejected", reason=reason, at=now)

        async for attempt in self._work.attempts():
            async with attempt as tx:
                await self._store.decide(approval.id, ApprovalStatus.REJECTED, decision, session=tx.session)
                tx.audit(entry)
        log_act(entry)
        return await self.fetch(approval_id)

    async def _requested_before(self, approval: Approval, idempotency_key: str) -> Approval:
        earlier = await self._store.find_by_key(approval.requester_id, idempotency_key)
        same = earlier is not None and (
            (earlier.act, earlier.target_kind, earlier.target_id, earlier.parameters)
            == (approval.act, approval.target_kind, approval.target_id, approval.parameters)
        )
        if earlier is None or not same:
            raise RejectedError(
                "idempotency_key_reused",
                "This Idempotency-Key was used before for another request; use a new key for a new request.",
            )
        return replace(earlier, replayed=True)

    @staticmethod
    def _entry(approval: Approval, by: Actor, step: str, *, reason: str | None, at: datetime) -> AuditEntry:
        return AuditEntry(
            at=at,
            actor=by,
            action=f"{approval.act.value}.{step}",
            target_kind=approval.target_kind,
            target_id=approval.target_id,
            reason=reason,
            before=None,
            after=approval.parameters,
            approval=approval.audit_fields(),
        )
