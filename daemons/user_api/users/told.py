"""What other daemons are told of users, as events: how they are now and what has changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict, get_args

from daemons.contracts.events.contract import UserReference
from daemons.contracts.events.user_changed import UserChange, UserChanged
from daemons.contracts.events.user_registered import ToldUser, UserRegistered
from daemons.contracts.names import EventType, UserStatus
from daemons.contracts.permissions import Role
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.ids import new_id
from daemons.user_api.outbox.event import OwedEvent
from daemons.user_api.users.user import User


@dataclass(frozen=True, slots=True)
class UserWrite:
    """A user before and after they were written; `before` is None if they are new.

    Both are None for a registration that was refused: nothing is told of it, but it must cost what one that
    succeeds does, or its time would tell who is registered.
    """

    before: User | None
    after: User | None


def told_of(written: Iterable[UserWrite], entries: Sequence[AuditEntry]) -> list[OwedEvent | None]:
    """Return the events of what one transaction has written of users; None where nothing is told.

    Args:
        written: In the order in which it was written.
        entries: The transaction's entries in the audit; the first one says who did it and when.

    Raises:
        RuntimeError: there is something to tell but no entry.
    """
    owed: list[OwedEvent | None] = []
    for write in written:
        if write.after is None:
            owed.append(None)
            continue
        changes = _changes(write.before, write.after) if write.before is not None else []
        if write.before is not None and not changes:
            continue
        if not entries:
            raise RuntimeError("a user is changed, and the audit does not say by whom")
        owed.append(_event(write.after, changes, entries[0]))
    return owed


def _event(user: User, changes: list[UserChange], entry: AuditEntry) -> OwedEvent:
    data: ToldUser
    if changes:
        data = UserChanged(**_told(user, entry), changes=changes)
        event_type = EventType.USER_CHANGED
    else:
        data, event_type = UserRegistered(**_told(user, entry)), EventType.USER_REGISTERED
    return OwedEvent(
        id=new_id(),
        type=event_type,
        key=str(user.id),
        time=entry.at,
        data=data.model_dump(mode="json"),
    )


def _changes(before: User, after: User) -> list[UserChange]:
    changed = {
        "display_name": before.display_name != after.display_name,
        "email": before.email != after.email,
        "role": before.role is not after.role,
        "status": _status(before) is not _status(after),
        "second_factor": before.second_factor != after.second_factor,
        "password": before.password_hash != after.password_hash,
    }
    known: tuple[UserChange, ...] = get_args(UserChange)
    return [name for name in known if changed[name]]


def _status(user: User) -> UserStatus:
    if user.is_erased:
        return UserStatus.ERASED
    return UserStatus.LOCKED if user.locked else UserStatus.ACTIVE


class _Told(TypedDict):
    user_id: str
    display_name: str
    email: str
    role: Role
    status: UserStatus
    second_factor: bool
    version: int
    initiated_by: UserReference | None
    occurred_at: datetime


def _told(user: User, entry: AuditEntry) -> _Told:
    return _Told(
        user_id=str(user.id),
        display_name=user.display_name,
        email=user.email,
        role=user.role,
        status=_status(user),
        second_factor=user.second_factor,
        version=user.version,
        initiated_by=_reference(entry.actor),
        occurred_at=entry.at,
    )


def _reference(actor: Actor) -> UserReference | None:
    if actor.user_id is None:
        return None
    return UserReference(user_id=str(actor.user_id), display_name=actor.display_name)
