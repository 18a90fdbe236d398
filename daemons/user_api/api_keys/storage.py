"""API keys in MongoDB, as digests only; a TTL index sweeps those that have expired."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from daemons.contracts.errors import TransientError
from daemons.contracts.permissions import Permission
from daemons.shared.mongo import Alongside, Client, Database, Document, Session, run_transaction
from daemons.user_api.api_keys.api_key import MAXIMUM_KEYS, USED_RESOLUTION, ApiKey
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import API_KEYS, USERS
from daemons.user_api.sessions.access_changes import MongoAccessChanges
from daemons.user_api.users.storage import user_of
from daemons.user_api.users.user import User


class MongoApiKeys:
    """The keys of all users."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._keys = database[API_KEYS]
        self._users = database[USERS]
        self._changes = MongoAccessChanges(client, database)

    async def insert(self, key: ApiKey, digest: str, *, user: User, alongside: Alongside) -> bool:
        """Add a key, and what `alongside` writes, unless its user has as many as allowed.

        Raises:
            TransientError: the user was locked or changed since `user` was read.
        """

        async def body(session: Session) -> bool:
            # Writing to the user makes two that are made at once conflict, so that both are counted; and no
            # key slips past a lock or a new password that ends the others.
            touched = await self._users.update_one(
                {"_id": key.user_id, "version": user.version, "locked": False},
                {"$set": {"key_made_at": key.created_at}},
                session=session,
            )
            if not touched.matched_count:
                raise TransientError(
                    "unavailable", "The user was just changed; try again.", retry_after_seconds=1
                )
            living = {"user_id": key.user_id, "expires_at": {"$gt": key.created_at}}
            if await self._keys.count_documents(living, session=session) >= MAXIMUM_KEYS:
                return False
            await self._keys.insert_one({**_to_document(key), "digest": digest}, session=session)
            await alongside(session)
            return True

        return await run_transaction(self._client, body)

    async def list_of(self, user_id: UUID) -> list[ApiKey]:
        """Return the user's keys, newest first."""
        with unavailable_on_fault():
            documents = await self._keys.find({"user_id": user_id}).sort("_id", -1).to_list()
        return [_key_of(document) for document in documents]

    async def find_with_user(self, digest: str) -> tuple[ApiKey, User] | None:
        """Return the key of this digest and its user as both are now."""
        found = await self.find_with_users([digest])
        return found[digest] if found else None

    async def find_with_users(
        self, digests: Sequence[str], *, reading: Session | None = None
    ) -> dict[str, tuple[ApiKey, User]]:
        """Return those keys that exist by their digests, each with its user, as they are now."""
        pipeline: list[Document] = [
            {"$match": {"digest": {"$in": list(digests)}}},
            {"$lookup": {"from": USERS, "localField": "user_id", "foreignField": "_id", "as": "user"}},
            {"$unwind": "$user"},
        ]
        with unavailable_on_fault():
            cursor = await self._keys.aggregate(pipeline, session=reading)
            documents = await cursor.to_list()
        return {document["digest"]: (_key_of(document), user_of(document["user"])) for document in documents}

    async def renew_last_use(self, keys: Iterable[ApiKey], now: datetime) -> None:
        """Keep that these keys are in use; one of several requests at the same moment writes it."""
        stale = [key.id for key in keys if key.last_use_is_stale(now)]
        if not stale:
            return
        with unavailable_on_fault():
            await self._keys.update_many(
                # A key that was never used has no time yet.
                {"_id": {"$in": stale}, "last_used_at": {"$not": {"$gt": now - USED_RESOLUTION}}},
                {"$set": {"last_used_at": now}},
            )

    async def revoke(
        self, key_id: UUID, *, user_id: UUID, alongside: Callable[[ApiKey, Session], Awaitable[None]]
    ) -> bool:
        """Remove a key if it is this user's; tells whether there was one.

        `alongside` gets the key, and writes what must be written with its removal.
        """

        async def body(session: Session) -> bool:
            removed = await self._keys.find_one_and_delete(
                {"_id": key_id, "user_id": user_id}, session=session
            )
            if removed is None:
                return False
            await self._changes.add(user_id, session=session)
            await alongside(_key_of(removed), session)
            return True

        return await run_transaction(self._client, body)


def _to_document(key: ApiKey) -> Document:
    return {
        "_id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
    }


def _key_of(document: Document) -> ApiKey:
    return ApiKey(
        id=document["_id"],
        user_id=document["user_id"],
        name=document["name"],
        scopes=frozenset(Permission(scope) for scope in document["scopes"]),
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        last_used_at=document["last_used_at"],
    )
