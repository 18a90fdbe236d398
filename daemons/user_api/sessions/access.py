"""What users have got by signing in and by making keys: its end, and its changes for other daemons.

Changes are numbered in the order of the commits, for daemons that remember callers. A number is taken from
one document within the transaction that changes the access. So numbers have no gaps, and a daemon that has
read one can read all before it (docs/adr/0025).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from pymongo import ReturnDocument
from pymongo.read_concern import ReadConcern

from daemons.shared.clock import utc_now
from daemons.shared.mongo import Client, Database, Document, Session, unavailable_on_fault
from daemons.user_api.guarded import API_KEY
from daemons.user_api.schema import ACCESS_CHANGES, ACCESS_POSITION, API_KEYS, POSITION_ID, SESSIONS

MOST_CHANGES = 1_000
_KEPT = timedelta(hours=1)
_READ_TIMEOUT_MS = 2_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How many sessions and API keys have ended."""

    sessions: int = 0
    api_keys: int = 0


NOTHING_ENDED = Ended()


class MongoAccess:
    """Ends sessions and API keys together, so that a key does not outlive the sessions."""

    def __init__(self, database: Database, session: Session) -> None:
        self._database = database
        self._session = session
        self._sessions = database[SESSIONS]
        self._keys = database[API_KEYS]
        self._changes = database[ACCESS_CHANGES]
        self._position = database[ACCESS_POSITION]

    async def end(
        self, user_id: UUID, *, kept_session: UUID | None = None, keep_sessions: bool = False
    ) -> Ended:
        """End the user's keys and sessions, but for the one that is kept.

        Other daemons learn of it, also if there was nothing to end: what the user may do can have changed.
        """
        await self.changed(user_id)
        theirs = {"user_id": user_id}
        async with API_KEY.changing(self._database, self._session, theirs):
            keys = await self._keys.delete_many(theirs, session=self._session)
        if keep_sessions:
            return Ended(api_keys=keys.deleted_count)
        sessions = await self._sessions.delete_many(
            {"user_id": user_id, "_id": {"$ne": kept_session}}, session=self._session
        )
        return Ended(sessions.deleted_count, keys.deleted_count)

    async def changed(self, user_id: UUID) -> None:
        """Number a change of the user's access."""
        counted: Document | None = await self._position.find_one_and_update(
            {"_id": POSITION_ID},
            {"$inc": {"position": 1}},
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        assert counted is not None  # noqa: S101 - it was made with the indexes
        await self._changes.insert_one(
            {"_id": counted["position"], "user_id": user_id, "expires_at": utc_now() + _KEPT},
            session=self._session,
        )


@dataclass(frozen=True, slots=True)
class AccessChanges:
    """The number of the last change, and whose access has changed; None if not all of them are known."""

    position: int
    users: frozenset[UUID] | None


class MongoAccessChanges:
    """The changes of the last hour."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._changes = database[ACCESS_CHANGES]
        # A majority read may come from a server that has ceased to be the primary and does not know it.
        self._newest = database[ACCESS_POSITION].with_options(read_concern=ReadConcern("linearizable"))

    @asynccontextmanager
    async def since(self, after: int | None) -> AsyncIterator[tuple[AccessChanges, Session]]:
        """Tell what has changed after this number; what is read with the session is no older than that.

        Raises:
            TransientError: `unavailable`.
        """
        with unavailable_on_fault():
            async with self._client.start_session(causal_consistency=True) as session:
                head = await self._newest.find_one(
                    {"_id": POSITION_ID}, session=session, max_time_ms=_READ_TIMEOUT_MS
                )
                position = head["position"] if head else 0
                yield AccessChanges(position, await self._between(after, position, session)), session

    async def _between(self, after: int | None, position: int, session: Session) -> frozenset[UUID] | None:
        if after is None or not 0 <= position - after <= MOST_CHANGES:
            return None
        if position == after:
            return frozenset()
        numbered = {"_id": {"$gt": after, "$lte": position}}
        documents = await self._changes.find(numbered, session=session).to_list()
        if len(documents) < position - after:
            return None
        return frozenset(document["user_id"] for document in documents)
