"""The tokens of a living session, as they go into the cookies."""

from dataclasses import dataclass, field
from datetime import datetime

from daemons.user_api.parts import Parts
from daemons.user_api.sessions.session import Session
from daemons.user_api.users.user import User


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """A session with the tokens that stand for it; they go into the cookies and nowhere else."""

    user: User
    session: Session
    token: str = field(repr=False)
    token_expires_at: datetime
    refresh_token: str = field(repr=False)
    device_token: str | None = field(default=None, repr=False)
    """What the device shows at its next sign-in; given by a sign-in only."""


def issue_tokens(parts: Parts, user: User, session: Session, *, refresh_token: str) -> SignIn:
    """Sign an access token, no longer valid than the session, beside the given refresh token."""
    now = parts.clock()
    expires_at = min(now + parts.limits.access, session.expires_at)
    token = parts.signer.sign(user_id=user.id, session_id=session.id, issued_at=now, expires_at=expires_at)
    return SignIn(
        user=user, session=session, token=token, token_expires_at=expires_at, refresh_token=refresh_token
    )
