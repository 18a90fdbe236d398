"""What the routes of sessions take and answer."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.shared.auth.callers import Caller
from daemons.user_api.sessions.session import Session
from daemons.user_api.users.models import UserView
from daemons.user_api.users.user import User


class SessionEnding(WireModel):
    """Which of the own sessions end: all, or all but the one that asks."""

    keep_current: Annotated[bool, Field(strict=False)] = False


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

    @classmethod
    def of(cls, user: User, session: Session, *, must_enrol: bool) -> "SignedIn":
        """Show who is signed in; staff who must have a second factor first see that."""
        state = FactorState.REQUIRED if must_enrol else FactorState.of(user)
        return cls(user=UserView.of(user), session=SessionView.of(session, current=True), second_factor=state)
