"""Sessions and their refresh tokens in MongoDB, the tokens as digests only.

A session that is ended is removed; expired ones, and tokens whose session could not live, are swept by TTL
indexes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from daemons.shared.mongo import Database, Document, unavailable_on_fault
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.schema import REFRESH_TOKENS, SESSIONS, USERS
from daemons.user_api.sessions.refresh_token import RefreshToken
from daemons.user_api.sessions.session import SEEN_RESOLUTION, Session
from daemons.user_api.users.storage import user_of
from daemons.user_api.users.user import User

_LISTED = 200


class MongoSessions:
    """The sessions of all users."""

    def __init__(self, database: Database, session: DatabaseSession | None = None) -> None:
        self._sessions = database[SESSIONS]
        self._refresh_tokens = database[REFRESH_TOKENS]
        self._session = session

    async def insert(self, session: Session, refresh_token: RefreshToken) -> None:
        """Add a session and its first refresh token."""
        await self._sessions.insert_one(_to_document(session), session=self._session)
        await self._refresh_tokens.insert_one(_token_document(refresh_token), session=self._session)

    async def remove(self, handle: UUID, *, user_id: UUID) -> Session | None:
        """Remove and return a session if it is this user's."""
        removed = await self._sessions.find_one_and_delete(
            {"handle": handle, "user_id": user_id}, session=self._session
        )
        return None if removed is None else _session_of(removed)

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


class MongoRefreshTokens:
    """The refresh tokens of all sessions, used ones too: that is how a reuse is seen."""

    def __init__(self, database: Database) -> None:
        self._tokens = database[REFRESH_TOKENS]

    async def find(self, digest: bytes) -> RefreshToken | None:
        """Return the token of this digest."""
        with unavailable_on_fault():
            document = await self._tokens.find_one({"_id": digest})
        return None if document is None else _token_of(document)

    async def exchange(self, token: RefreshToken, successor: bytes, now: datetime) -> bool:
        """Exchange the token for its successor; False if that has been done before.

        The successor is written first: it is the same for every caller, so a crash in between, or two
        requests at once, leave one line of tokens. The one write that marks the token used decides.
        """
        with unavailable_on_fault():
            await self._tokens.update_one(
                {"_id": successor}, {"$setOnInsert": _unused(token, successor)}, upsert=True
            )
            marked = await self._tokens.update_one(
                {"_id": token.digest, "used_at": None}, {"$set": {"used_at": now, "successor": successor}}
            )
        return marked.matched_count == 1


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


def _token_document(token: RefreshToken) -> Document:
    return {
        "_id": token.digest,
        "session_id": token.session_id,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
        "successor": token.successor,
    }


def _unused(token: RefreshToken, digest: bytes) -> Document:
    document = _token_document(
        RefreshToken(digest=digest, session_id=token.session_id, expires_at=token.expires_at)
    )
    del document["_id"]
    return document


def _token_of(document: Document) -> RefreshToken:
    return RefreshToken(
        digest=document["_id"],
        session_id=document["session_id"],
        expires_at=document["expires_at"],
        used_at=document["used_at"],
        successor=document["successor"],
    )
