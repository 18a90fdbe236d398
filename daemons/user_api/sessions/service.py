"""Sessions in use: verified on every request, listed, ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog

from daemons.contracts.permissions import MUST_CHANGE_PASSWORD, MUST_ENROL, Permission, Role
from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.session_tokens import SessionSigner
from daemons.shared.clock import Clock
from daemons.user_api.security_events import SecurityEvent, acting, event_of
from daemons.user_api.sessions.access import NOTHING_ENDED
from daemons.user_api.sessions.session import Session, SessionLimits, handle_of, session_not_found
from daemons.user_api.sessions.storage import MongoSessions
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.user import User

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTokens:
    """A session with the tokens that stand for it; they go into the cookies and nowhere else."""

    user: User
    session: Session
    issued_at: datetime
    token: str = field(repr=False)
    token_expires_at: datetime
    refresh_token: str = field(repr=False)
    device_token: str | None = field(default=None, repr=False)
    """What the device shows at its next sign-in; given by a sign-in only."""


class TokenIssuer:
    """Signs the access tokens of living sessions."""

    def __init__(self, signer: SessionSigner, limits: SessionLimits, *, clock: Clock) -> None:
        self._signer = signer
        self._limits = limits
        self._clock = clock

    def issue(self, user: User, session: Session, *, refresh_token: str) -> SessionTokens:
        """Sign an access token, no longer valid than the session, beside the given refresh token."""
        now = self._clock()
        expires_at = min(now + self._limits.access, session.expires_at)
        token = self._signer.sign(
            user_id=user.id, session_id=session.id, issued_at=now, expires_at=expires_at
        )
        return SessionTokens(
            user=user,
            session=session,
            issued_at=now,
            token=token,
            token_expires_at=expires_at,
            refresh_token=refresh_token,
        )


class LivingSessions:
    """Whether sessions live: asked on every request here, and by the other daemons for many at a time."""

    def __init__(
        self,
        store: MongoSessions,
        limits: SessionLimits,
        *,
        second_factor_roles: frozenset[Role],
        clock: Clock,
    ) -> None:
        self._store = store
        self.limits = limits
        self._second_factor_roles = second_factor_roles
        self._clock = clock

    async def verify(self, session_id: UUID) -> tuple[Session, User] | None:
        """Return the session and its user if it lives, and keep that it was used; None if it has ended.

        Raises:
            TransientError: `unavailable`; unknown at the moment.
        """
        found = await self._store.find_with_user(session_id)
        living = await self.keep_living([found] if found else [])
        return living[0] if living else None

    async def keep_living(self, found: Sequence[tuple[Session, User]]) -> list[tuple[Session, User]]:
        """Return those sessions that live, as they are now that they were used, and keep that.

        Raises:
            TransientError: `unavailable`.
        """
        now = self._clock()
        living = [
            (session, user) for session, user in found if not user.locked and session.lives(now, self.limits)
        ]
        await self._store.renew_last_use((session for session, _ in living), now)
        return [
            (replace(session, last_seen_at=now) if session.last_use_is_stale(now) else session, user)
            for session, user in living
        ]

    async def list_of(self, user_id: UUID) -> list[Session]:
        """Return the user's living sessions, newest first."""
        now = self._clock()
        found = await self._store.list_of(user_id)
        return [session for session in found if session.lives(now, self.limits)]

    def caller(self, session: Session, user: User) -> Caller:
        """Return the caller whom a living session stands for."""
        return Caller(
            user_id=user.id,
            session_id=session.id,
            role=user.role,
            display_name=user.display_name,
            scopes=self.scopes_of(user),
        )

    def scopes_of(self, user: User) -> frozenset[Permission] | None:
        """Return what bounds the user's sessions: a password of another's, or no second factor yet."""
        if user.password_is_temporary:
            return MUST_CHANGE_PASSWORD
        if user.role in self._second_factor_roles and not user.second_factor:
            return MUST_ENROL
        return None


class SessionEnding:
    """Ends sessions by their owner's hand, at once for user_api and within seconds elsewhere."""

    def __init__(self, work: UserWork, *, clock: Clock) -> None:
        self._work = work
        self._clock = clock

    async def end(self, caller: Caller, handle: UUID, *, origin: Origin) -> None:
        """End one of the caller's sessions; one's own session is signed out of.

        Raises:
            NotFoundError: `session_not_found`, also for a session of somebody else.
            TransientError: `unavailable`.
        """
        own = handle == handle_of(caller.session_id)
        event = SecurityEvent.SIGN_OUT if own else SecurityEvent.END_SESSION
        actor, now = acting(caller, origin), self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                ended = await tx.sessions.remove(handle, user_id=caller.user_id)
                if ended is None:
                    raise session_not_found()
                await tx.access.changed(caller.user_id)
                tx.audit(event_of(now, actor, event, caller.user_id, before=ended.audit_fields()))
        _log.info("session ended", user_id=str(caller.user_id), session=str(handle))

    async def end_all(self, caller: Caller, *, kept: UUID | None, origin: Origin) -> None:
        """End the caller's API keys and all their sessions but for the kept one.

        Raises:
            TransientError: `unavailable`.
        """
        actor, now = acting(caller, origin), self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                # Another version: neither a sign-in nor a new key at the same moment slips past.
                await tx.users.renew_version(caller.user_id)
                ended = await tx.access.end(caller.user_id, kept_session=kept)
                if ended != NOTHING_ENDED:
                    tx.audit(
                        event_of(
                            now,
                            actor,
                            SecurityEvent.END_ALL_SESSIONS,
                            caller.user_id,
                            before={"ended_sessions": ended.sessions, "ended_api_keys": ended.api_keys},
                            after={"kept_session": None if kept is None else str(handle_of(kept))},
                        )
                    )
        _log.info(
            "all sessions ended",
            user_id=str(caller.user_id),
            ended_sessions=ended.sessions,
            ended_api_keys=ended.api_keys,
        )
