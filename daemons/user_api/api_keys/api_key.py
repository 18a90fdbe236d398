"""API keys: credentials of scripts, each with its own bounds and end."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemons.contracts.errors import ConflictError, FieldError, InvalidRequestError, NotFoundError
from daemons.contracts.permissions import NEVER_GRANTED_TO_KEYS, Permission, Role, is_granted
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

    def lives(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return now < self.expires_at

    def last_use_is_stale(self, now: datetime) -> bool:
        """Tell whether the kept time of last use should be renewed."""
        return self.last_used_at is None or now >= self.last_used_at + USED_RESOLUTION

    def audit_fields(self) -> dict[str, Any]:
        """Return what the audit keeps of the key."""
        return {
            "key_id": str(self.id),
            "name": self.name,
            "scopes": sorted(scope.value for scope in self.scopes),
            "expires_at": format_instant(self.expires_at),
        }


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


def api_key_not_found() -> NotFoundError:
    """The error for an id that none of the user's keys has."""
    return NotFoundError("api_key_not_found", "You have no such API key.")


def too_many_api_keys() -> ConflictError:
    """The error for one key more than a user may have."""
    return ConflictError("too_many_api_keys", f"You have {MAXIMUM_KEYS} API keys; revoke one first.")
