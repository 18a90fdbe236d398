"""API keys in MongoDB, as digests only; a TTL index sweeps those that have expired."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from daemons.contracts.internal import KeyBudget
from daemons.contracts.permissions import Permission
from daemons.shared.mongo import Database, Document, Session, unavailable_on_fault
from daemons.user_api.api_keys.api_key import USED_RESOLUTION, ApiKey
from daemons.user_api.guarded import API_KEY
from daemons.user_api.schema import API_KEYS, USERS
from daemons.user_api.users.storage import user_of
from daemons.user_api.users.user import User


class MongoApiKeys:
    """The keys of all users."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._database = database
        self._keys = database[API_KEYS]
        self._session = session

    async def count_living(self, user_id: UUID, now: datetime) -> int:
        """Return how many of the user's keys have not expired."""
        living = {"user_id": user_id, "expires_at": {"$gt": now}}
        return await self._keys.count_documents(living, session=self._session)

    async def insert(self, key: ApiKey, digest: str) -> None:
        """Add a key."""
        async with self._changing(key.id):
            await self._keys.insert_one({**_to_document(key), "digest": digest}, session=self._session)

    async def remove(self, key_id: UUID, *, user_id: UUID) -> ApiKey | None:
        """Remove and return a key if it is this user's."""
        async with self._changing(key_id):
            removed = await self._keys.find_one_and_delete(
                {"_id": key_id, "user_id": user_id}, session=self._session
            )
        return None if removed is None else _key_of(removed)

    def _changing(self, key_id: UUID) -> AbstractAsyncContextManager[None]:
        assert self._session is not None  # noqa: S101 - keys are never made or removed alone
        return API_KEY.changing(self._database, self._session, {"_id": key_id})

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


def _to_document(key: ApiKey) -> Document:
    return {
        "_id": key.id,
        "user_id": key.user_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "budget": None if key.budget is None else key.budget.model_dump(),
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
        budget=None if document["budget"] is None else KeyBudget.model_validate(document["budget"]),
    )
