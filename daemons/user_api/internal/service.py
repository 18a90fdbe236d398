"""What the other daemons ask: whose access has changed, and whom unknown credentials stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from daemons.shared.auth.callers import Caller
from daemons.user_api.api_keys.service import GoodKeys
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.sessions.access import AccessChanges, MongoAccessChanges
from daemons.user_api.sessions.service import LivingSessions
from daemons.user_api.sessions.storage import MongoSessions


@dataclass(frozen=True, slots=True)
class Verified:
    """A caller, and when their session or API key ends by itself, unless it is used before."""

    caller: Caller
    ends_at: datetime


class CallerVerification:
    """Verifies callers of other daemons."""

    def __init__(
        self,
        changes: MongoAccessChanges,
        session_store: MongoSessions,
        key_store: MongoApiKeys,
        sessions: LivingSessions,
        keys: GoodKeys,
    ) -> None:
        self._changes = changes
        self._session_store = session_store
        self._key_store = key_store
        self._sessions = sessions
        self._keys = keys

    async def verify(
        self, *, after: int | None, session_ids: Sequence[UUID], digests: Sequence[str]
    ) -> tuple[AccessChanges, list[Verified]]:
        """Return what has changed after a number, and those of the sessions and API keys that are good.

        The credentials are read after the changes: what ends in between is among the next changes.

        Raises:
            TransientError: `unavailable`; unknown at the moment.
        """
        async with self._changes.since(after) as (changes, reading):
            found = (
                await self._session_store.find_with_users(session_ids, reading=reading) if session_ids else []
            )
            keys = await self._key_store.find_with_users(digests, reading=reading) if digests else {}
        verified = [
            Verified(self._sessions.caller(session, user), session.ends_at(self._sessions.limits))
            for session, user in await self._sessions.keep_living(found)
        ]
        good = await self._keys.keep_good(keys)
        verified += [
            Verified(self._keys.caller(digest, key, user), key.expires_at)
            for digest, (key, user) in good.items()
        ]
        return changes, verified
