"""The caller of a request, as the rest of a daemon sees it."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from daemons.contracts.permissions import Permission, Role, is_granted


@dataclass(frozen=True, slots=True)
class Caller:
    """A signed-in user. The role is the present one, not the one at sign-in."""

    user_id: UUID
    session_id: UUID
    role: Role
    display_name: str

    def may(self, permission: Permission) -> bool:
        """Tell whether the caller's role holds the permission."""
        return is_granted(self.role, permission)


class Authenticator(Protocol):
    """Turns a session token into a caller; user_api asks its own store, the others ask user_api."""

    async def authenticate(self, token: str) -> Caller:
        """Return the caller.

        Raises:
            UnauthenticatedError: the token is not ours, has expired, or its session has ended.
            TransientError: it cannot be told right now.
        """
        ...
