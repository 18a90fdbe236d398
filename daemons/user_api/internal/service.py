"""What the other daemons ask: whose access has changed, and whom unknown credentials stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from daemons.shared.auth.callers import Caller
from daemons.user_api.api_keys.verify import keep_good_keys, key_caller
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.access_changes import AccessChanges
from daemons.user_api.sessions.verify import keep_living_sessions, scopes_of


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller, and when their session or API key ends by itself, unless it is used before."""

    caller: Caller
    ends_at: datetime


async def verify_callers(
    parts: Parts, *, after: int | None, session_ids: Sequence[UUID], digests: Sequence[str]
) -> tuple[AccessChanges, list[Verified]]:
    """Return what has changed after a number, and those of the sessions and API keys that are good.

    The credentials are read after the changes: what ends in between is among the next changes.

    Raises:
        TransientError: `unavailable`; it cannot be told right now.
    """
    async with parts.access_changes.since(after) as (changes, reading):
        sessions = await parts.sessions.find_with_users(session_ids, reading=reading) if session_ids else []
        keys = await parts.api_keys.find_with_users(digests, reading=reading) if digests else {}
    verified = [
        Verified(
            Caller(
                user_id=user.id,
                session_id=session.id,
                role=user.role,
                display_name=user.display_name,
                scopes=scopes_of(parts, user),
            ),
            session.ends_at(parts.limits),
        )
        for session, user in await keep_living_sessions(parts, sessions)
    ]
    good = await keep_good_keys(parts, keys)
    verified += [
        Verified(key_caller(parts, digest, key, user), key.expires_at) for digest, (key, user) in good.items()
    ]
    return changes, verified
