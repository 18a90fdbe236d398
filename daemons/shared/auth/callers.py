"""The caller of a request, as the rest of a daemon sees it."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from daemons.contracts.internal import KeyBudget
from daemons.contracts.permissions import Permission, Role, is_granted


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. The role is the present one, not the one at sign-in.

    `session_id` names the credential: the session, or the API key when `key_digest` is set. `scopes` bounds
    what the role grants; None leaves it as it is.
    """

    user_id: UUID
    session_id: UUID
    role: Role
    display_name: str
    scopes: frozenset[Permission] | None = None
    key_digest: str | None = field(default=None, repr=False)
    budget: KeyBudget | None = None
    """What bounds the payments of an API key."""

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller's role holds the permission, and the scopes do not leave it out."""
        return is_granted(self.role, permission) and (self.scopes is None or permission in self.scopes)


class Authenticator(Protocol):
    """Turns a credential into a caller; user_api asks its own store, the others ask user_api."""

    async def authenticate(self, token: str) -> Caller:
        """Return the caller who sends this access token.

        Raises:
            UnauthenticatedError: the token is not ours, has expired, or its session has ended.
            TransientError: it is unknown at the moment.
        """
        ...

    async def authenticate_key(self, key: str) -> Caller:
        """Return the caller who sends this API key.

        Raises:
            UnauthenticatedError: there is no such key, or it has expired or been revoked.
            TransientError: it is unknown at the moment.
        """
        ...

    async def renew(self, caller: Caller) -> Caller:
        """Return the caller as they are now, for a connection that outlives the token that opened it.

        Raises:
            UnauthenticatedError: the session has ended.
            TransientError: it is unknown at the moment.
        """
        ...
