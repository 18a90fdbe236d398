"""Going on with a session: a refresh token for a new access token and the next refresh token."""

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.auth.session_tokens import not_signed_in, session_ended
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.audit_entries import SecurityEvent, event_of, session_state
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.refresh_token import digest_of, is_repetition, successor_of
from daemons.user_api.sessions.session import Session
from daemons.user_api.sessions.tokens import SignIn, issue_tokens
from daemons.user_api.sessions.verify import verify_session
from daemons.user_api.users.user import User

_log = structlog.get_logger()


async def refresh_session(parts: Parts, token: str, *, origin: Origin) -> SignIn:
    """Exchange the refresh token; presenting an old one ends the session, because two people hold it.

    Raises:
        UnauthenticatedError: `not_signed_in` for an unknown token, `session_ended`.
        TransientError: `unavailable`.
    """
    kept = await parts.refresh_tokens.find(digest_of(token))
    if kept is None:
        raise not_signed_in()
    found = await verify_session(parts, kept.session_id)
    if found is None:
        raise session_ended()
    session, user = found
    following = successor_of(token, parts.refresh_keys[0])
    if not await parts.refresh_tokens.exchange(kept, digest_of(following), parts.clock()):
        following = await _repeated(parts, token, session, user, origin)
    _log.info(
        "session refreshed",
        user_id=str(user.id),
        session=str(session.handle),
        address=origin.address,
        request_id=origin.request_id,
    )
    return issue_tokens(parts, user, session, refresh_token=following)


async def _repeated(parts: Parts, token: str, session: Session, user: User, origin: Origin) -> str:
    """Return the successor that the token was exchanged for a moment ago.

    Raises:
        UnauthenticatedError: `session_ended`, the token is an old one.
    """
    used = await parts.refresh_tokens.find(digest_of(token))
    successor = await parts.refresh_tokens.find(used.successor) if used and used.successor else None
    if used is None or not is_repetition(used, successor, parts.clock()):
        raise await _reused(parts, session, user, origin)
    # The exchange may have been made under the secret that has just been replaced.
    for key in parts.refresh_keys:
        following = successor_of(token, key)
        if digest_of(following) == used.successor:
            return following
    raise await _reused(parts, session, user, origin)


async def _reused(parts: Parts, session: Session, user: User, origin: Origin) -> UnauthenticatedError:
    async def alongside(ended: Session, transaction: DatabaseSession) -> None:
        # Two people hold the token, and nobody can tell which of them this is.
        entry = event_of(
            parts,
            stranger(origin),
            SecurityEvent.REFRESH_TOKEN_REUSED,
            user.id,
            before=session_state(ended),
        )
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        await parts.sessions.end(session.handle, user_id=user.id, alongside=alongside)
    _log.warning("refresh token reused", user_id=str(user.id), session=str(session.handle))
    return session_ended()
