"""Acts on users: roles, locks, lost second factors; some wait for approval (docs/adr/0010)."""

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from daemons.contracts.errors import ConflictError, RejectedError
from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.shared.approvals.approval import Approval, approval_outdated
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import log_act
from daemons.shared.clock import Clock
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.security_events import USER
from daemons.user_api.typed_codes import CODE_BYTES, write_code
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import (
    EnrolmentCode,
    User,
    check_other_factor,
    enrolment_digest,
    erased,
    locked,
    unlocked,
    user_not_found,
    with_role,
)

_log = structlog.get_logger()
_CODE_LIFETIME = timedelta(days=3)
_OF_STAFF = {True: GuardedAct.LOCK_STAFF, False: GuardedAct.UNLOCK_STAFF}


class _NeedsApprovalError(Exception):
    """The user is one of the staff, whom nobody locks or unlocks alone; nothing was written."""


@dataclass(frozen=True, slots=True)
class HandedOutCode:
    """A code for enrolment, which leaves the daemon this once."""

    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Act:
    """What is done to a user, by whom and why; `approval` is the request that the actor approves by it."""

    name: str
    at: datetime
    actor: Actor
    reason: str
    approval: Approval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """What an act has changed; None as entry if it was nothing."""

    user: User
    entry: AuditEntry | None = None
    ended_sessions: int = 0
    ended_api_keys: int = 0


class Administration:
    """What admins and the server's own shell do to users. Every change ends the user's access."""

    def __init__(
        self,
        work: UserWork,
        store: MongoUsers,
        approvals: Approvals,
        policy: StaffPolicy,
        *,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._approvals = approvals
        self._policy = policy
        self._clock = clock
        approvals.carry_out_by(
            {
                GuardedAct.CHANGE_ROLE: self._give_approved_role,
                GuardedAct.LOCK_STAFF: self._lock_approved,
                GuardedAct.UNLOCK_STAFF: self._lock_approved,
                GuardedAct.RESET_SECOND_FACTOR: self._reset_approved,
                GuardedAct.ERASE_USER: self._erase_approved,
            }
        )

    async def give_role(self, user_id: UUID, role: Role, *, actor: Actor, reason: str) -> User | Approval:
        """Give the user a role, or return the request that waits for another person.

        Every role but that of a user is power over others, so any change of role gives some or takes some.

        Raises:
            NotFoundError, RejectedError, TransientError: as `change_role`.
        """
        if self._policy.needs_approval(GuardedAct.CHANGE_ROLE):
            user = await self._store.find(user_id)
            if user is None:
                raise user_not_found()
            if with_role(user, role, actor_id=actor.user_id, at=self._clock()) != user:
                return await self._approvals.request(
                    actor,
                    GuardedAct.CHANGE_ROLE,
                    target=(USER, str(user_id)),
                    reason=reason,
                    parameters={"role_before": user.role.value, "role": role.value},
                )
        return await self.change_role(user_id, role, actor=actor, reason=reason)

    async def change_role(
        self, user_id: UUID, role: Role, *, actor: Actor, reason: str, approval: Approval | None = None
    ) -> User:
        """Give the user a role and end their access, so that nothing outlives the role it was begun in.

        Args:
            user_id: Whose role it is.
            role: The new role; the present one changes nothing and ends nothing.
            actor: The acting admin, or the server's own shell.
            reason: Why, for the record.
            approval: The request that the actor approves by this, to be marked so in the same transaction.

        Raises:
            NotFoundError: `user_not_found`.
            RejectedError: `self_lockout`.
            ConflictError: `approval_decided`, `approval_withdrawn`, or `approval_outdated`: the user has
                another role than when it was asked for.
            TransientError: `unavailable`.
        """
        now = self._clock()
        act = _Act(name="change_role", at=now, actor=actor, reason=reason, approval=approval)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await tx.users.get(user_id)
                if approval is not None and approval.parameters["role_before"] != before.role.value:
                    raise approval_outdated("The user's role")
                after = with_role(
                    before,
                    role,
                    actor_id=actor.user_id,
                    at=now,
                    asked_by=None if approval is None else approval.requester_id,
                )
                done = await self._write(tx, act, before, after)
        self._report("role changed", act, done, before=before.role.value, after=done.user.role.value)
        return done.user

    async def lock(self, user_id: UUID, *, actor: Actor, reason: str) -> User | Approval:
        """Lock the user and end all their access; of staff, return the request that waits for approval.

        Raises:
            NotFoundError: `user_not_found`.
            RejectedError: `self_lockout`.
            TransientError: `unavailable`.
        """
        return await self._lock_or_ask(user_id, lock=True, actor=actor, reason=reason)

    async def unlock(self, user_id: UUID, *, actor: Actor, reason: str) -> User | Approval:
        """Let the user sign in again; of staff, return the request that waits for approval.

        Raises:
            NotFoundError: `user_not_found`.
            TransientError: `unavailable`.
        """
        return await self._lock_or_ask(user_id, lock=False, actor=actor, reason=reason)

    async def ask_to_erase(self, user_id: UUID, *, actor: Actor, reason: str) -> Approval:
        """Return the request that another admin must approve; erasing cannot be undone.

        Raises:
            NotFoundError: `user_not_found`.
            RejectedError: `user_is_staff`, `user_erased`.
            TransientError: `unavailable`.
        """
        user = await self._store.find(user_id)
        if user is None:
            raise user_not_found()
        erased(user, at=self._clock())
        return await self._approvals.request(
            actor, GuardedAct.ERASE_USER, target=(USER, str(user_id)), reason=reason, parameters={}
        )

    async def _erase_approved(self, approval: Approval, by: Actor) -> None:
        """Take everything off a user that says who they were, in the approver's name.

        What was promised of the books stands: they name the user's id, and no record of the audit changes.
        """
        act = _Act(
            name="erase_user", at=self._clock(), actor=by, reason=approval.reason or "", approval=approval
        )
        user_id = UUID(approval.target_id)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await tx.users.get(user_id)
                await tx.second_factors.remove(user_id)
                await tx.devices.forget_all(user_id)
                await tx.users.forget_refused(user_id)
                await tx.requests.forget(user_id, before.email)
                await tx.messages.forget(user_id, before.email)
                done = await self._write(tx, act, before, erased(before, at=act.at))
        self._report("user erased", act, done)

    async def hand_out_enrolment_code(self, user_id: UUID, *, actor: Actor, reason: str) -> HandedOutCode:
        """Return a new code with which one of the staff enrols their first second factor; others end.

        Raises:
            NotFoundError: `user_not_found`.
            ConflictError: `totp_already_active`.
            RejectedError: `self_lockout`; nobody hands a code out to themselves.
            TransientError: `unavailable`.
        """
        if actor.user_id == user_id:
            raise RejectedError("self_lockout", "Nobody hands a code out to themselves; another admin can.")
        now, text = self._clock(), write_code(secrets.token_bytes(CODE_BYTES))
        code = HandedOutCode(text, now + _CODE_LIFETIME)
        entry = AuditEntry(
            at=now,
            actor=actor,
            action="hand_out_enrolment_code",
            target_kind=USER,
            target_id=str(user_id),
            reason=reason,
            before=None,
            after={"expires_at": format_instant(code.expires_at)},
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                user = await tx.users.get(user_id)
                if user.second_factor:
                    raise ConflictError(
                        "totp_already_active", "They have a second factor; there is nothing to enrol."
                    )
                handed_out = EnrolmentCode(enrolment_digest(text), code.expires_at)
                await tx.users.save(replace(user, enrolment=handed_out))
                tx.audit(entry)
        log_act(entry)
        return code

    async def ask_for_factor_reset(self, user_id: UUID, *, actor: Actor, reason: str) -> Approval:
        """Ask another administrator to take the second factor off a user who has lost it.

        Raises:
            NotFoundError: `user_not_found`.
            ConflictError: `no_second_factor`.
            RejectedError: `own_second_factor`.
            TransientError: `unavailable`.
        """
        user = await self._store.find(user_id)
        if user is None:
            raise user_not_found()
        check_other_factor(user, actor_id=actor.user_id)
        return await self._approvals.request(
            actor, GuardedAct.RESET_SECOND_FACTOR, target=(USER, str(user_id)), reason=reason, parameters={}
        )

    async def reset_second_factor(
        self, user_id: UUID, *, actor: Actor, reason: str, approval: Approval | None = None
    ) -> User:
        """Take the second factor off a user who has lost it, recovery codes and all; ends their access.

        The server's own shell does it without an approval.

        Raises:
            NotFoundError: `user_not_found`.
            ConflictError: with an approval `no_second_factor`, `approval_decided`, `approval_withdrawn`.
            RejectedError: `own_second_factor`.
            TransientError: `unavailable`.
        """
        act = _Act(
            name="reset_second_factor", at=self._clock(), actor=actor, reason=reason, approval=approval
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await tx.users.get(user_id)
                if approval is not None:
                    check_other_factor(before, actor_id=actor.user_id)
                await tx.second_factors.remove(user_id)
                await tx.requests.close_all(user_id, Purpose.KEEP_SECOND_FACTOR)
                done = await self._write(tx, act, before, replace(before, second_factor=False))
                await notify(tx, before, Template.SECOND_FACTOR_REMOVED, act.at, address=actor.address)
        if done.entry is not None:
            log_act(done.entry)
        return done.user

    async def _lock_or_ask(self, user_id: UUID, *, lock: bool, actor: Actor, reason: str) -> User | Approval:
        try:
            return await self._lock(user_id, lock=lock, actor=actor, reason=reason)
        except _NeedsApprovalError:
            return await self._approvals.request(
                actor, _OF_STAFF[lock], target=(USER, str(user_id)), reason=reason, parameters={}
            )

    async def _lock(
        self, user_id: UUID, *, lock: bool, actor: Actor, reason: str, approval: Approval | None = None
    ) -> User:
        now, name = self._clock(), "lock" if lock else "unlock"
        act = _Act(name=name, at=now, actor=actor, reason=reason, approval=approval)
        guarded = self._policy.needs_approval(_OF_STAFF[lock])
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await tx.users.get(user_id)
                after = locked(before, actor_id=actor.user_id, at=now) if lock else unlocked(before)
                # Asked here, where the role is the present one: it may have been given a moment ago.
                if approval is None and guarded and before.is_staff and after != before:
                    raise _NeedsApprovalError
                if approval is not None and after == before:
                    raise approval_outdated("The user")
                done = await self._write(tx, act, before, after)
                if lock and done.entry is not None:
                    await notify(tx, before, Template.USER_LOCKED, now)
        self._report("user locked" if done.user.locked else "user unlocked", act, done)
        return done.user

    async def _give_approved_role(self, approval: Approval, by: Actor) -> None:
        """Carry out a request to give somebody a role, in the approver's name."""
        role = Role(approval.parameters["role"])
        reason = approval.reason or ""
        await self.change_role(UUID(approval.target_id), role, actor=by, reason=reason, approval=approval)

    async def _reset_approved(self, approval: Approval, by: Actor) -> None:
        """Carry out a request to take off somebody's second factor, in the approver's name."""
        await self.reset_second_factor(
            UUID(approval.target_id), actor=by, reason=approval.reason or "", approval=approval
        )

    async def _lock_approved(self, approval: Approval, by: Actor) -> None:
        """Carry out a request to lock or unlock one of the staff, in the approver's name.

        Raises:
            RejectedError: `self_lockout`; it is the approver who would be locked.
            ConflictError: `approval_decided`, `approval_withdrawn`, or `approval_outdated`: it is done
                already.
        """
        lock = approval.act is GuardedAct.LOCK_STAFF
        reason = approval.reason or ""
        await self._lock(UUID(approval.target_id), lock=lock, actor=by, reason=reason, approval=approval)

    async def _write(self, tx: UserTransaction, act: _Act, before: User, after: User) -> _Done:
        """Write the changed user, the end of their access, the approval and the audit entry.

        An act that changes nothing writes nothing and has no entry.
        """
        if act.approval is not None:
            await self._approvals.mark_approved(act.approval, act.actor, outcome=None, session=tx.session)
        if after == before:
            return _Done(user=after)
        saved = await tx.users.save(after)
        ended = await tx.access.end(after.id)
        entry = AuditEntry(
            at=act.at,
            actor=act.actor,
            action=act.name,
            target_kind=USER,
            target_id=str(after.id),
            reason=act.reason,
            before=before.audit_fields(),
            after=after.audit_fields(),
            approval=act.approval.audit_fields() if act.approval else None,
        )
        tx.audit(entry)
        return _Done(user=saved, entry=entry, ended_sessions=ended.sessions, ended_api_keys=ended.api_keys)

    @staticmethod
    def _report(event: str, act: _Act, done: _Done, **more: str) -> None:
        if done.entry is not None:
            log_act(done.entry)
        _log.info(
            event,
            user_id=str(done.user.id),
            actor_id=str(act.actor.user_id) if act.actor.user_id else "shell",
            ended_sessions=done.ended_sessions,
            ended_api_keys=done.ended_api_keys,
            reason=act.reason,
            **more,
        )
