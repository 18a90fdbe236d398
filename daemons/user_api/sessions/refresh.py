"""Going on with a session: a refresh token for a new access token and the next refresh token."""

from collections.abc import Sequence

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.auth.session_tokens import not_signed_in, session_ended
from daemons.shared.clock import Clock
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.sessions.refresh_token import digest_of, is_repetition, successor_of
from daemons.user_api.sessions.service import LivingSessions, SessionTokens, TokenIssuer
from daemons.user_api.sessions.session import Session
from daemons.user_api.sessions.storage import MongoRefreshTokens
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.user import User

_log = structlog.get_logger()


class SessionRefresh:
    """Exchanges a refresh token for a new access token and the next refresh token."""

    def __init__(
        self,
        work: UserWork,
        tokens: MongoRefreshTokens,
        living: LivingSessions,
        issuer: TokenIssuer,
        *,
        keys: Sequence[bytes],
        clock: Clock,
    ) -> None:
        self._work = work
        self._tokens = tokens
        self._living = living
        self._issuer = issuer
        self._keys = keys
        self._clock = clock

    async def refresh(self, token: str, *, origin: Origin) -> SessionTokens:
        """Exchange the token; presenting an old one ends the session, because two people hold it.

        Raises:
            UnauthenticatedError: `not_signed_in` for an unknown token, `session_ended`.
            TransientError: `unavailable`.
        """
        kept = await self._tokens.find(digest_of(token))
        if kept is None:
            raise not_signed_in()
        found = await self._living.verify(kept.session_id)
        if found is None:
            raise session_ended()
        session, user = found
        following = successor_of(token, self._keys[0])
        if not await self._tokens.exchange(kept, digest_of(following), self._clock()):
            following = await self._repeated(token, session, user, origin)
        _log.info(
            "session refreshed",
            user_id=str(user.id),
            session=str(session.handle),
            address=origin.address,
            request_id=origin.request_id,
        )
        return self._issuer.issue(user, session, refresh_token=following)

    async def _repeated(self, token: str, session: Session, user: User, origin: Origin) -> str:
        """Return the successor that the token was exchanged for a moment ago.

        Raises:
            UnauthenticatedError: `session_ended`, the token is an old one.
        """
        used = await self._tokens.find(digest_of(token))
        successor = await self._tokens.find(used.successor) if used and used.successor else None
        if used is None or not is_repetition(used, successor, self._clock()):
            raise await self._reused(session, user, origin)
        # The exchange may have been made under the secret that has just been replaced.
        for key in self._keys:
            following = successor_of(token, key)
            if digest_of(following) == used.successor:
                return following
        raise await self._reused(session, user, origin)

    async def _reused(self, session: Session, user: User, origin: Origin) -> UnauthenticatedError:
        actor, now = stranger(origin), self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                ended = await tx.sessions.remove(session.handle, user_id=user.id)
                if ended is not None:
                    await tx.access.changed(user.id)
                    # Two people hold the token, and nobody can tell which of them this is.
                    reused, before = SecurityEvent.REFRESH_TOKEN_REUSED, ended.audit_fields()
                    tx.audit(event_of(now, actor, reused, user.id, before=before))
        _log.warning("refresh token reused", user_id=str(user.id), session=str(session.handle))
        return session_ended()
