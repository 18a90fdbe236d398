"""Keeping a user out, and letting them in again."""

from datetime import datetime
from uuid import UUID

import structlog

from daemons.shared.approvals.approval import Approval, approval_outdated
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import Actor
from daemons.user_api.audit_entries import USER, witnessed
from daemons.user_api.parts import Parts
from daemons.user_api.users.user import User, locked, unlocked

_log = structlog.get_logger()
_OF_STAFF = {True: GuardedAct.LOCK_STAFF, False: GuardedAct.UNLOCK_STAFF}


class _NeedsSecondPersonError(Exception):
    """The user is one of the staff, whom nobody locks or unlocks alone; nothing was written."""


async def lock_user(parts: Parts, user_id: UUID, *, actor: Actor, reason: str) -> User | Approval:
    """Lock the user and end all their access; of staff, return the request that waits for a second person.

    Raises:
        NotFoundError: `user_not_found`.
        RejectedError: `self_lockout`.
        TransientError: `unavailable`.
    """
    return await _change_or_ask(parts, user_id, lock=True, actor=actor, reason=reason)


async def unlock_user(parts: Parts, user_id: UUID, *, actor: Actor, reason: str) -> User | Approval:
    """Let the user sign in again; of staff, return the request that waits for a second person.

    Raises:
        NotFoundError: `user_not_found`.
        TransientError: `unavailable`.
    """
    return await _change_or_ask(parts, user_id, lock=False, actor=actor, reason=reason)


async def lock_approved(parts: Parts, approval: Approval, by: Actor) -> None:
    """Carry out a request to lock or unlock one of the staff, in the second person's name.

    Raises:
        RejectedError: `self_lockout`; it is the approver who would be locked.
        ConflictError: `approval_decided`, `approval_withdrawn`, or `approval_outdated`: it is done already.
    """
    lock = approval.act is GuardedAct.LOCK_STAFF
    user_id, reason = UUID(approval.target_id), approval.reason or ""
    await _change(parts, user_id, lock=lock, actor=by, reason=reason, approval=approval)


async def _change_or_ask(
    parts: Parts, user_id: UUID, *, lock: bool, actor: Actor, reason: str
) -> User | Approval:
    try:
        return await _change(parts, user_id, lock=lock, actor=actor, reason=reason)
    except _NeedsSecondPersonError:
        return await parts.approvals.request(
            actor, _OF_STAFF[lock], target=(USER, str(user_id)), reason=reason, parameters={}
        )


async def _change(
    parts: Parts, user_id: UUID, *, lock: bool, actor: Actor, reason: str, approval: Approval | None = None
) -> User:
    approved = None if approval is None else (parts.approvals, approval)
    act = "lock" if lock else "unlock"
    testimony = witnessed(parts, actor, act, user_id, reason=reason, approved=approved)
    guarded = parts.four_eyes.needs_second_person(_OF_STAFF[lock])
    now = parts.clock()

    def decide(user: User) -> User:
        after = _locked(user, lock=lock, actor_id=actor.user_id, at=now)
        # Asked here, where the role is the present one: it may have been given a moment ago.
        if approval is None and guarded and user.is_staff and after != user:
            raise _NeedsSecondPersonError
        if approval is not None and after == user:
            raise approval_outdated("The user")
        return after

    async with parts.audit.turn():
        change = await parts.users.change(user_id, decide, alongside=testimony.write)
    testimony.log()
    _log.info(
        "user locked" if change.after.locked else "user unlocked",
        user_id=str(user_id),
        actor_id=str(actor.user_id),
        ended_sessions=change.ended.sessions,
        ended_api_keys=change.ended.api_keys,
        reason=reason,
    )
    return change.after


def _locked(user: User, *, lock: bool, actor_id: UUID | None, at: datetime) -> User:
    return locked(user, actor_id=actor_id, at=at) if lock else unlocked(user)
