"""Sessions in MongoDB. One that is ended is removed; expired ones are swept by a TTL index."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from daemons.shared.mongo import Alongside, Client, Database, Document, run_transaction
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.domain.refresh_token import RefreshToken
from daemons.user_api.domain.session import Session
from daemons.user_api.domain.user import User
from daemons.user_api.storage.access import NOTHING_ENDED, Ended, MongoAccess
from daemons.user_api.storage.faults import unavailable_on_fault
from daemons.user_api.storage.mongo_refresh_tokens import to_document
from daemons.user_api.storage.mongo_users import user_of
from daemons.user_api.storage.schema import REFRESH_TOKENS, SESSIONS, USERS

_LISTED = 200


class MongoSessions:
    """The sessions of all users."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._users = database[USERS]
        self._sessions = database[SESSIONS]
        self._access = MongoAccess(database)
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
        pipeline: list[Document] = [
            {"$match": {"_id": session_id}},
            {"$lookup": {"from": USERS, "localField": "user_id", "foreignField": "_id", "as": "user"}},
            {"$unwind": "$user"},
        ]
        with unavailable_on_fault():
            cursor = await self._sessions.aggregate(pipeline)
            documents = await cursor.to_list()
        if not documents:
            return None
        [document] = documents
        return _session_of(document), user_of(document["user"])

    async def list_of(self, user_id: UUID) -> list[Session]:
        """Return the user's sessions, newest first; the newest 200 if there are more."""
        with unavailable_on_fault():
            found = self._sessions.find({"user_id": user_id}).sort("_id", -1).limit(_LISTED)
            documents = await found.to_list()
        return [_session_of(document) for document in documents]

    async def renew_last_use(self, session: Session, now: datetime) -> None:
        """Keep that the session is in use; one of several requests at the same moment writes it."""
        with unavailable_on_fault():
            await self._sessions.update_one(
                {"_id": session.id, "last_seen_at": session.last_seen_at}, {"$set": {"last_seen_at": now}}
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
