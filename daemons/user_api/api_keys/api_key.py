"""API keys: credentials of scripts, each with its own bounds and end."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from daemons.contracts.errors import ConflictError, FieldError, InvalidRequestError, NotFoundError
from daemons.contracts.internal import KeyBudget
from daemons.contracts.permissions import GRANTS, NEVER_GRANTED_TO_KEYS, Permission, Role, is_granted
from daemons.contracts.vocabulary import MOST_KEY_DAYS
from daemons.contracts.wire import format_instant

MAXIMUM_KEYS = 20
USED_RESOLUTION = timedelta(minutes=1)
"""How exactly the last use is kept: one write a minute, not one per request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key of a user. What it may do is what its scopes and its user's present role both allow."""

    id: UUID
    user_id: UUID
    name: str
    scopes: frozenset[Permission]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    budget: KeyBudget | None = None

    def lives(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return now < self.expires_at

    def last_use_is_stale(self, now: datetime) -> bool:
        """Tell whether the kept time of last use should be renewed."""
        return self.last_used_at is None or now >= self.last_used_at + USED_RESOLUTION

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps of the key."""
        fields: dict[str, Any] = {
            "key_id": str(self.id),
            "name": self.name,
            "scopes": sorted(scope.value for scope in self.scopes),
            "expires_at": format_instant(self.expires_at),
        }
        return fields if self.budget is None else {**fields, "budget": self.budget.model_dump()}


def check_scopes(scopes: Collection[Permission], role: Role) -> frozenset[Permission]:
    """Return the scopes if a user of this role may make a key for them.

    Raises:
        InvalidRequestError: `invalid_request` naming those the role does not hold or no key can.
    """
    refused = {one for one in scopes if one in NEVER_GRANTED_TO_KEYS or not is_granted(role, one)}
    if refused:
        fault = FieldError("scopes", f"your role makes no key for {', '.join(sorted(refused))}")
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: scopes: {fault.message}.", errors=[fault]
        )
    return frozenset(scopes)


def check_end(ends: datetime | timedelta, now: datetime) -> datetime:
    """Return when a new key ends.

    Raises:
        InvalidRequestError: `invalid_request`, it would have ended already, or live too long.
    """
    at = now + ends if isinstance(ends, timedelta) else ends.replace(tzinfo=ends.tzinfo or UTC)
    if not now < at <= now + timedelta(days=MOST_KEY_DAYS):
        fault = FieldError("expires_at", f"must be in the future, {MOST_KEY_DAYS} days at most")
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: expires_at: {fault.message}.", errors=[fault]
        )
    return at


def check_budget(budget: KeyBudget | None, scopes: Collection[Permission]) -> KeyBudget | None:
    """Return the budget if it bounds whatever the scopes let a key move.

    Raises:
        InvalidRequestError: `invalid_request`, the key could move money of others as staff do.
    """
    unbounded = set(scopes) & (GRANTS[Role.ADMIN] - GRANTS[Role.SUPPORT])
    if budget is not None and unbounded:
        fault = FieldError("budget", f"does not bound {', '.join(sorted(unbounded))}; leave that out")
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: budget: {fault.message}.", errors=[fault]
        )
    return budget


def check_unconfirmed(
    scopes: Collection[Permission], budget: KeyBudget | None, *, second_factor: bool
) -> None:
    """Let a key pay without confirmations only if the second factor stands behind it, and a day's budget.

    Making a key asks for the second factor, and keys end when it is enrolled or removed.

    Raises:
        InvalidRequestError: `invalid_request`, there is no budget for a day.
        ConflictError: `totp_not_active`, the user has no second factor.
    """
    if Permission.PAY_UNCONFIRMED not in scopes:
        return
    if budget is None or budget.max_day is None:
        fault = FieldError("budget", f"needs max_day with {Permission.PAY_UNCONFIRMED.value}")
        raise InvalidRequestError(
            "invalid_request", f"The request is malformed: budget: {fault.message}.", errors=[fault]
        )
    if not second_factor:
        raise ConflictError(
            "totp_not_active", "A key that pays unconfirmed is made with the second factor; enrol one first."
        )


def api_key_not_found() -> NotFoundError:
    """The error for an id that none of the user's keys has."""
    return NotFoundError("api_key_not_found", "You have no such API key.")


def too_many_api_keys() -> ConflictError:
    """The error for one key more than a user may have."""
    return ConflictError("too_many_api_keys", f"You have {MAXIMUM_KEYS} API keys; revoke one first.")
