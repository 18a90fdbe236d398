"""Ending sessions by their owner's hand."""

from uuid import UUID

import structlog

from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.audit_entries import SecurityEvent, acting, event_of, session_state
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.access import Ended
from daemons.user_api.sessions.session import Session, handle_of, session_not_found

_log = structlog.get_logger()


async def end_session(parts: Parts, caller: Caller, handle: UUID, *, origin: Origin) -> None:
    """End one of the caller's sessions, at once for user_api; one's own session is signed out of.

    Raises:
        NotFoundError: `session_not_found`, also for a session of somebody else.
        TransientError: `unavailable`.
    """
    own = handle == handle_of(caller.session_id)
    event = SecurityEvent.SIGN_OUT if own else SecurityEvent.END_SESSION

    async def alongside(ended: Session, transaction: DatabaseSession) -> None:
        entry = event_of(parts, acting(caller, origin), event, caller.user_id, before=session_state(ended))
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        if not await parts.sessions.end(handle, user_id=caller.user_id, alongside=alongside):
            raise session_not_found()
    _log.info("session ended", user_id=str(caller.user_id), session=str(handle))


async def end_all_sessions(parts: Parts, caller: Caller, *, kept: UUID | None, origin: Origin) -> None:
    """End the caller's API keys and all their sessions but for the kept one, at once for user_api.

    Raises:
        TransientError: `unavailable`.
    """

    async def alongside(ended: Ended, transaction: DatabaseSession) -> None:
        entry = event_of(
            parts,
            acting(caller, origin),
            SecurityEvent.END_ALL_SESSIONS,
            caller.user_id,
            before={"ended_sessions": ended.sessions, "ended_api_keys": ended.api_keys},
            after={"kept_session": None if kept is None else str(handle_of(kept))},
        )
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        ended = await parts.sessions.end_all(user_id=caller.user_id, kept=kept, alongside=alongside)
    _log.info(
        "all sessions ended",
        user_id=str(caller.user_id),
        ended_sessions=ended.sessions,
        ended_api_keys=ended.api_keys,
    )


async def list_sessions(parts: Parts, *, user_id: UUID) -> list[Session]:
    """Return the user's living sessions, newest first."""
    now = parts.clock()
    found = await parts.sessions.list_of(user_id)
    return [session for session in found if session.lives(now, parts.limits)]
