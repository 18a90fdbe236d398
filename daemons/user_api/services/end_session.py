"""Ending sessions by their owner's hand."""

from uuid import UUID

import structlog

from daemons.user_api.domain.session import Session, session_not_found
from daemons.user_api.services.parts import Parts

_log = structlog.get_logger()


async def end_session(parts: Parts, session_id: UUID, *, user_id: UUID) -> None:
    """End one of the user's sessions, at once for user_api.

    Raises:
        NotFoundError: `session_not_found`, also for a session of somebody else.
        TransientError: `unavailable`.
    """
    if not await parts.sessions.end(session_id, user_id=user_id):
        raise session_not_found()
    _log.info("session ended", user_id=str(user_id), session_id=str(session_id))


async def end_all_sessions(parts: Parts, *, user_id: UUID, kept: UUID | None) -> None:
    """End all of the user's sessions but for the kept one, at once for user_api.

    Raises:
        TransientError: `unavailable`.
    """
    ended = await parts.sessions.end_all(user_id=user_id, kept=kept)
    _log.info("all sessions ended", user_id=str(user_id), ended_sessions=ended)


async def list_sessions(parts: Parts, *, user_id: UUID) -> list[Session]:
    """Return the user's living sessions, newest first."""
    now = parts.clock()
    found = await parts.sessions.list_of(user_id)
    return [session for session in found if session.lives(now, parts.limits)]
