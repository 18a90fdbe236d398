"""Sessions in MongoDB. One that is ended is removed; expired ones are swept by a TTL index."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from daemons.shared.mongo import Alongside, Client, Database, Document, run_transaction
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import REFRESH_TOKENS, SESSIONS, USERS
from daemons.user_api.sessions.access import NOTHING_ENDED, Ended, MongoAccess
from daemons.user_api.sessions.access_changes import MongoAccessChanges
from daemons.user_api.sessions.refresh_token import RefreshToken
from daemons.user_api.sessions.refresh_token_storage import to_document
from daemons.user_api.sessions.session import SEEN_RESOLUTION, Session
from daemons.user_api.users.storage import user_of
from daemons.user_api.users.user import User

_LISTED = 200


class MongoSessions:
    """The sessions of all users."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._users = database[USERS]
        self._sessions = database[SESSIONS]
        self._access = MongoAccess(client, database)
        self._changes = MongoAccessChanges(client, database)
        self._refresh_tokens = database[REFRESH_TOKENS]

    async def begin(
        self, session: Session, *, user: User, refresh_token: RefreshToken, alongside: Alongside
    ) -> bool:
        """Add a session and its refresh token, unless the user was locked or changed since `user` was read.

        Writing to the user makes a change at the same moment conflict: no session slips past a lock or a
        new password that ends the others. `alongside` writes what must be written with the session.
        """

        async def body(transaction: DatabaseSession) -> bool:
            touched = await self._users.update_one(
                {"_id": user.id, "version": user.version, "locked": False},
                {"$set": {"signed_in_at": session.created_at}},
                session=transaction,
            )
            if not touched.matched_count:
                return False
            await self._sessions.insert_one(_to_document(session), session=transaction)
            await self._refresh_tokens.insert_one(to_document(refresh_token), session=transaction)
            await alongside(transaction)
            return True

        return await run_transaction(self._client, body)

    async def find_with_user(self, session_id: UUID) -> tuple[Session, User] | None:
        """Return the session and its user as both are now."""
        found = await self.find_with_users([session_id])
        return found[0] if found else None

    async def find_with_users(
        self, session_ids: Sequence[UUID], *, reading: DatabaseSession | None = None
    ) -> list[tuple[Session, User]]:
        """Return those of the sessions that exist, each with its user, as they are now."""
        pipeline: list[Document] = [
            {"$match": {"_id": {"$in": list(session_ids)}}},
            {"$lookup": {"from": USERS, "localField": "user_id", "foreignField": "_id", "as": "user"}},
            {"$unwind": "$user"},
        ]
        with unavailable_on_fault():
            cursor = await self._sessions.aggregate(pipeline, session=reading)
            documents = await cursor.to_list()
        return [(_session_of(document), user_of(document["user"])) for document in documents]

    async def list_of(self, user_id: UUID) -> list[Session]:
        """Return the user's sessions, newest first; the newest 200 if there are more."""
        with unavailable_on_fault():
            found = self._sessions.find({"user_id": user_id}).sort("_id", -1).limit(_LISTED)
            documents = await found.to_list()
        return [_session_of(document) for document in documents]

    async def renew_last_use(self, sessions: Iterable[Session], now: datetime) -> None:
        """Keep that these sessions are in use; one of several requests at the same moment writes it."""
        stale = [session.id for session in sessions if session.last_use_is_stale(now)]
        if not stale:
            return
        with unavailable_on_fault():
            await self._sessions.update_many(
                {"_id": {"$in": stale}, "last_seen_at": {"$lte": now - SEEN_RESOLUTION}},
                {"$set": {"last_seen_at": now}},
            )

    async def end(
        self,
        handle: UUID,
        *,
        user_id: UUID,
        alongside: Callable[[Session, DatabaseSession], Awaitable[None]],
    ) -> bool:
        """End a session if it is this user's; tells whether there was one.

        `alongside` gets the session that has ended, and writes what must be written with that.
        """

        async def body(transaction: DatabaseSession) -> bool:
            ended = await self._sessions.find_one_and_delete(
                {"handle": handle, "user_id": user_id}, session=transaction
            )
            if ended is None:
                return False
            await self._changes.add(user_id, session=transaction)
            await alongside(_session_of(ended), transaction)
            return True

        return await run_transaction(self._client, body)

    async def end_all(
        self,
        *,
        user_id: UUID,
        kept: UUID | None,
        alongside: Callable[[Ended, DatabaseSession], Awaitable[None]],
    ) -> Ended:
        """End the user's API keys and sessions but for the one that is kept; returns how many.

        `alongside` gets those numbers, unless both are none, and writes what must be written with them.
        """

        async def body(transaction: DatabaseSession) -> Ended:
            # Another version: neither a sign-in nor a new key at the same moment slips past.
            await self._users.update_one({"_id": user_id}, {"$inc": {"version": 1}}, session=transaction)
            ended = await self._access.end(user_id, kept_session=kept, session=transaction)
            if ended != NOTHING_ENDED:
                await alongside(ended, transaction)
            return ended

        return await run_transaction(self._client, body)


def _to_document(session: Session) -> Document:
    document = asdict(session)
    document["_id"] = document.pop("id")
    document["handle"] = session.handle
    return document


def _session_of(document: Document) -> Session:
    return Session(
        id=document["_id"],
        user_id=document["user_id"],
        created_at=document["created_at"],
        last_seen_at=document["last_seen_at"],
        expires_at=document["expires_at"],
        address=document["address"],
        device=document["device"],
    )
