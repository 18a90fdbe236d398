"""Ending sessions by their owner's hand."""

from uuid import UUID

import structlog

from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.domain.session import Session, session_not_found
from daemons.user_api.services.parts import Parts
from daemons.user_api.services.witness import SecurityEvent, acting, event_of, session_state

_log = structlog.get_logger()


async def end_session(parts: Parts, caller: Caller, session_id: UUID, *, origin: Origin) -> None:
    """End one of the caller's sessions, at once for user_api; one's own session is signed out of.

    Raises:
        NotFoundError: `session_not_found`, also for a session of somebody else.
        TransientError: `unavailable`.
    """
    event = SecurityEvent.SIGN_OUT if session_id == caller.session_id else SecurityEvent.END_SESSION

    async def alongside(ended: Session, transaction: DatabaseSession) -> None:
        entry = event_of(parts, acting(caller, origin), event, caller.user_id, before=session_state(ended))
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        if not await parts.sessions.end(session_id, user_id=caller.user_id, alongside=alongside):
            raise session_not_found()
    _log.info("session ended", user_id=str(caller.user_id), session_id=str(session_id))


async def end_all_sessions(parts: Parts, caller: Caller, *, kept: UUID | None, origin: Origin) -> None:
    """End all of the caller's sessions but for the kept one, at once for user_api.

    Raises:
        TransientError: `unavailable`.
    """

    async def alongside(ended: int, transaction: DatabaseSession) -> None:
        entry = event_of(
            parts,
            acting(caller, origin),
            SecurityEvent.END_ALL_SESSIONS,
            caller.user_id,
            before={"ended_sessions": ended},
            after={"kept_session": None if kept is None else str(kept)},
        )
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        ended = await parts.sessions.end_all(user_id=caller.user_id, kept=kept, alongside=alongside)
    _log.info("all sessions ended", user_id=str(caller.user_id), ended_sessions=ended)


async def list_sessions(parts: Parts, *, user_id: UUID) -> list[Session]:
    """Return the user's living sessions, newest first."""
    now = parts.clock()
    found = await parts.sessions.list_of(user_id)
    return [session for session in found if session.lives(now, parts.limits)]
