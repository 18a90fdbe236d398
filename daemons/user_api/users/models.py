"""Bodies, queries and answers of user_api's routes. What is not named here is neither taken nor given."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from daemons.contracts.permissions import Permission, Role
from daemons.contracts.wire import Instant, Name, Reason, UuidText, WireModel
from daemons.shared.auth.callers import Caller
from daemons.shared.http.pages import PageQuery
from daemons.user_api.api_keys.api_key import MAXIMUM_KEY_DAYS, ApiKey
from daemons.user_api.sessions.session import Session
from daemons.user_api.users.email import MAXIMUM_EMAIL_LENGTH
from daemons.user_api.users.user import User

Email = Annotated[str, Field(min_length=1, max_length=MAXIMUM_EMAIL_LENGTH, examples=["ann@example.com"])]
# Far beyond what the rules for passwords accept: this only bounds the work of reading one.
Password = Annotated[str, Field(min_length=1, max_length=1024, repr=False)]
Code = Annotated[str, Field(min_length=6, max_length=32)]
RoleName = Annotated[Role, Field(strict=False)]


class Registration(WireModel):
    """A new user. It has no role: everybody registers as a plain user."""

    email: Email
    display_name: Name
    password: Password


class Credentials(WireModel):
    """What a person signs in with; `totp` is the code of the second factor, or a recovery code."""

    email: Email
    password: Password
    totp: Code | None = None


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
    """A session as its user sees it; `current` is the one that asks. `id` is the session's public name."""

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
            id=str(session.handle),
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


class FactorState(StrEnum):
    """Whether the user has a second factor, or needs one before anything else."""

    NONE = "none"
    REQUIRED = "required"
    ACTIVE = "active"

    @classmethod
    def of(cls, user: User) -> "FactorState":
        """Tell whether the user has one."""
        return cls.ACTIVE if user.second_factor else cls.NONE


class SignedIn(WireModel):
    """Who is signed in, and in which session."""

    user: UserView
    session: SessionView
    second_factor: Annotated[FactorState, Field(strict=False)] = FactorState.NONE


class PublicKeys(WireModel):
    """The JSON Web Key Set (RFC 7517) that verifies session tokens."""

    keys: list[dict[str, str]]


class PasswordAgain(WireModel):
    """The password once more, before what a stolen session must not do."""

    password: Password


class FactorRemoval(PasswordAgain):
    """Both factors, before one of them is removed."""

    totp: Code


class Enrolment(WireModel):
    """The secret that the second factor's app and user_api share; shown this once."""

    secret: str
    otpauth_uri: str


class FactorCode(WireModel):
    """A code of the second factor."""

    totp: Code


class RecoveryCodes(WireModel):
    """Codes for the day the app is lost; each works once, and they are shown this once."""

    recovery_codes: list[str]


class ApiKeyRequest(PasswordAgain):
    """A key for a script: what it is for, what it may do, and for how many days.

    `totp` is a fresh code, for those who have a second factor.
    """

    totp: Code | None = None
    name: Name
    scopes: Annotated[list[Annotated[Permission, Field(strict=False)]], Field(min_length=1, max_length=20)]
    expires_in_days: Annotated[int, Field(ge=1, le=MAXIMUM_KEY_DAYS)] = 90


class ApiKeyView(WireModel):
    """A key as its owner sees it; the key itself is shown only when it is made."""

    id: UuidText
    name: str
    scopes: list[Annotated[Permission, Field(strict=False)]]
    created_at: Instant
    expires_at: Instant
    last_used_at: Instant | None

    @classmethod
    def of(cls, key: ApiKey) -> "ApiKeyView":
        """Show a key."""
        return cls(
            id=str(key.id),
            name=key.name,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
        )


class ApiKeyList(WireModel):
    """The own keys that have not expired, newest first."""

    items: list[ApiKeyView]


class NewApiKey(WireModel):
    """A new key with its text, which cannot be shown again."""

    key: ApiKeyView
    token: str
