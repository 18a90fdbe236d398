"""Users: those who log in. Their accounts are another daemon's."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.contracts.errors import (
    ConflictError,
    FieldError,
    InvalidRequestError,
    NotFoundError,
    RejectedError,
)
from daemons.contracts.names import ERASED_DOMAIN
from daemons.contracts.permissions import GRANTS, Role
from daemons.shared.approvals.approval import RoleGrant
from daemons.shared.audit.record import Actor, Origin
from daemons.user_api.typed_codes import normalise_code
from daemons.user_api.users.confusables import poses_as_bank

_GRANTS_KEPT = 20


@dataclass(frozen=True, slots=True)
class EnrolmentCode:
    """A code that was handed out, as a digest, and until when it counts."""

    digest: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user. `version` counts the changes that concern sign-in; `password_hash` never leaves the daemon."""

    id: UUID
    email: str
    display_name: str
    role: Role
    locked: bool
    created_at: datetime
    password_hash: str = field(repr=False)
    version: int = 1
    second_factor: bool = False
    rights_lost_at: datetime | None = None
    """When a lock or another role last took a right: what they had asked for until then counts no longer."""
    password_is_temporary: bool = False
    """Whether somebody else chose the password, so that nothing may be done before it is changed."""
    enrolment: EnrolmentCode | None = None
    """The code with which one of the staff enrols their first second factor."""
    grants: tuple[RoleGrant, ...] = ()
    """Who gave the user a role, and when: the newest, without those of the server's own shell."""
    email_confirmed: bool = False
    """Whether somebody who reads the address's mail, or the server's shell, has said that it is theirs."""
    signed_in_at: datetime | None = None

    @property
    def is_staff(self) -> bool:
        """Whether the role gives any power over others."""
        return self.role is not Role.USER

    @property
    def is_erased(self) -> bool:
        """Whether only the id is left of the user."""
        return self.email == _erased_address(self.id)

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps of the user."""
        fields: dict[str, Any] = {"role": self.role.value, "locked": self.locked}
        return {**fields, "second_factor": True} if self.second_factor else fields

    def acting(self, origin: Origin) -> Actor:
        """Return the user as the one who acts."""
        return Actor(
            user_id=self.id,
            display_name=self.display_name,
            role=self.role.value,
            address=origin.address,
            request_id=origin.request_id,
        )


def enrolment_digest(code: str) -> bytes:
    """Return the form in which an enrolment code is kept; its random bits need no slow hash."""
    return hashlib.sha256(normalise_code(code).encode()).digest()


def check_strangers_name(name: str) -> str:
    """Return the name if somebody who registers may have it.

    Raises:
        InvalidRequestError: `invalid_request`, others would take the user for the bank or its staff.
    """
    if poses_as_bank(name):
        fault = FieldError(
            "display_name", "must not read as the bank's own or its staff's; use your own name"
        )
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: display_name: {fault.message}.", errors=[fault]
        )
    return name


def with_role(
    user: User, role: Role, *, actor_id: UUID | None, at: datetime, asked_by: UUID | None = None
) -> User:
    """Give the user a role; the one they have already changes nothing.

    Args:
        user: Whose role it is.
        role: The new role.
        actor_id: The acting admin; None is the server's own shell.
        at: When this is done.
        asked_by: Who asked for it, if the actor approves it.

    Raises:
        RejectedError: `self_lockout`, an admin would give up the role by their own hand.
    """
    if user.role is not role and user.id == actor_id:
        raise RejectedError("self_lockout", "You cannot change your own role; another admin can.")
    if user.role is role:
        return user
    loses = GRANTS[user.role] - GRANTS[role]
    given = [RoleGrant(by, at) for by in (asked_by, actor_id) if by is not None]
    return replace(
        user,
        role=role,
        rights_lost_at=at if loses else user.rights_lost_at,
        grants=(*user.grants, *given)[-_GRANTS_KEPT:],
    )


def locked(user: User, *, actor_id: UUID | None, at: datetime) -> User:
    """Keep the user from signing in.

    Raises:
        RejectedError: `self_lockout`, an admin would lock themselves out.
    """
    if user.id == actor_id:
        raise RejectedError("self_lockout", "You cannot lock yourself out; another admin can.")
    return user if user.locked else replace(user, locked=True, rights_lost_at=at)


def erased(user: User, *, at: datetime) -> User:
    """Take everything off that says who the user was; the id stays, which the books name.

    Raises:
        RejectedError: `user_is_staff`, `user_erased`.
    """
    if user.is_staff:
        raise RejectedError("user_is_staff", "Staff are not erased; give them the role of a user first.")
    if user.is_erased:
        raise _user_erased()
    return replace(
        user,
        email=_erased_address(user.id),
        display_name="Erased user",
        password_hash="",
        locked=True,
        rights_lost_at=at,
        second_factor=False,
        enrolment=None,
        email_confirmed=False,
        signed_in_at=None,
    )


def _erased_address(user_id: UUID) -> str:
    return f"{user_id}@{ERASED_DOMAIN}"


def _user_erased() -> RejectedError:
    return RejectedError("user_erased", "This user was erased; there is nobody any more.")


def unlocked(user: User) -> User:
    """Let the user sign in again.

    Raises:
        RejectedError: `user_erased`.
    """
    if user.is_erased:
        raise _user_erased()
    return replace(user, locked=False)


def check_other_factor(user: User, *, actor_id: UUID | None) -> None:
    """Go on only if there is a second factor to take off, and it is not the actor's own.

    Raises:
        RejectedError: `own_second_factor`.
        ConflictError: `no_second_factor`.
    """
    if user.id == actor_id:
        raise RejectedError(
            "own_second_factor", "You cannot reset your own second factor; another admin can."
        )
    if not user.second_factor:
        raise ConflictError("no_second_factor", "This user has no second factor.")


def user_not_found() -> NotFoundError:
    """The error for an id that no user has."""
    return NotFoundError("user_not_found", "There is no such user.")


def email_taken() -> ConflictError:
    """The error for an address that another user signs in with."""
    return ConflictError("email_taken", "Another user signs in with this email address.")
