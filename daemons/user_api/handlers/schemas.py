"""Bodies, queries and answers of user_api's routes. What is not named here is neither taken nor given."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.permissions import Role
from daemons.contracts.wire import Instant, Name, Reason, UuidText, WireModel
from daemons.shared.auth.callers import Caller
from daemons.shared.http.pages import PageQuery
from daemons.user_api.domain.email import MAXIMUM_EMAIL_LENGTH
from daemons.user_api.domain.session import Session
from daemons.user_api.domain.user import User

Email = Annotated[str, Field(min_length=1, max_length=MAXIMUM_EMAIL_LENGTH)]
# Far beyond what the rules for passwords accept: this only bounds the work of reading one.
Password = Annotated[str, Field(min_length=1, max_length=1024, repr=False)]
RoleName = Annotated[Role, Field(strict=False)]


class Registration(WireModel):
    """A new user. There is no role here: nobody registers as more than a user."""

    email: Email
    display_name: Name
    password: Password


class Credentials(WireModel):
    """What a person signs in with."""

    email: Email
    password: Password


class PasswordChange(WireModel):
    """A new password in place of the current one."""

    current_password: Password
    new_password: Password
    end_other_sessions: bool = True


class SessionEnding(WireModel):
    """Which of the own sessions end: all, or all but the one that asks."""

    keep_current: Annotated[bool, Field(strict=False)] = False


class RoleChange(WireModel):
    """Another role, and why."""

    role: RoleName
    reason: Reason


class LockChange(WireModel):
    """Why a user is locked or unlocked."""

    reason: Reason


class UserQuery(PageQuery):
    """The list of users, or the one with this address."""

    email: Email | None = None


class UserView(WireModel):
    """A user as they and the staff see them."""

    id: UuidText
    email: str
    display_name: str
    role: RoleName
    locked: bool
    created_at: Instant

    @classmethod
    def of(cls, user: User) -> "UserView":
        """Show a user."""
        return cls(
            id=str(user.id),
            email=user.email,
            display_name=user.display_name,
            role=user.role,
            locked=user.locked,
            created_at=user.created_at,
        )


class UserList(WireModel):
    """A page of users, newest first."""

    items: list[UserView]
    next_cursor: str | None


class SessionView(WireModel):
    """A session as its user sees it; `current` is the one that asks."""

    id: UuidText
    created_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    address: str
    device: str
    current: bool

    @classmethod
    def of(cls, session: Session, *, current: bool) -> "SessionView":
        """Show a session."""
        return cls(
            id=str(session.id),
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.expires_at,
            address=session.address,
            device=session.device,
            current=current,
        )


class SessionList(WireModel):
    """The user's living sessions, newest first."""

    items: list[SessionView]

    @classmethod
    def of(cls, sessions: list[Session], caller: Caller) -> "SessionList":
        """Show the sessions of the caller."""
        return cls(items=[SessionView.of(one, current=one.id == caller.session_id) for one in sessions])


class SignedIn(WireModel):
    """Who is signed in, and in which session."""

    user: UserView
    session: SessionView


class PublicKeys(WireModel):
    """The JSON Web Key Set (RFC 7517) that verifies session tokens."""

    keys: list[dict[str, str]]
