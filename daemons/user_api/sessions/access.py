"""What a user has got by signing in and by making keys, and its end."""

from dataclasses import dataclass
from uuid import UUID

from daemons.shared.mongo import Client, Database, Session
from daemons.user_api.schema import API_KEYS, SESSIONS
from daemons.user_api.sessions.access_changes import MongoAccessChanges


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions and API keys have ended."""

    sessions: int = 0
    api_keys: int = 0


NOTHING_ENDED = Ended()


class MongoAccess:
    """Ends sessions and API keys together, so that a key does not outlive the sessions."""

    def __init__(self, client: Client, database: Database) -> None:
        self._sessions = database[SESSIONS]
        self._keys = database[API_KEYS]
        self._changes = MongoAccessChanges(client, database)

    async def end(
        self, user_id: UUID, *, kept_session: UUID | None, keep_sessions: bool = False, session: Session
    ) -> Ended:
        """End the user's keys and sessions, but for the one that is kept, in the caller's transaction.

        Other daemons learn of it, also if there was nothing to end: what the user may do can have changed.
        """
        await self._changes.add(user_id, session=session)
        keys = await self._keys.delete_many({"user_id": user_id}, session=session)
        if keep_sessions:
            return Ended(api_keys=keys.deleted_count)
        sessions = await self._sessions.delete_many(
            {"user_id": user_id, "_id": {"$ne": kept_session}}, session=session
        )
        return Ended(sessions.deleted_count, keys.deleted_count)
