"""Users in MongoDB."""

from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import RoleGrant
from daemons.shared.mongo import Database, Document, Session, unavailable_on_fault
from daemons.user_api.guarded import USER
from daemons.user_api.schema import REGISTRATIONS, USERS
from daemons.user_api.users.told import UserWrite
from daemons.user_api.users.user import EnrolmentCode, User, email_taken, user_not_found

_REFUSED_KEPT = timedelta(days=30)


class MongoUsers:
    """All users; what changes one ends their access in the same transaction (`MongoAccess.end`)."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._database = database
        self._users = database[USERS]
        self._refused = database[REGISTRATIONS]
        self._session = session
        self.written: list[UserWrite] = []
        """What was written of users; the transaction tells of it (`UserTransaction.complete`)."""

    async def insert(self, user: User) -> None:
        """Add a user.

        Raises:
            ConflictError: `email_taken`.
        """
        try:
            async with self._changing(user.id):
                await self._users.insert_one(_to_document(user), session=self._session)
        except DuplicateKeyError:
            raise email_taken() from None
        self.written.append(UserWrite(None, user))

    async def refuse(self, user: User, present: User | None) -> None:
        """Keep for a while that somebody tried to register under the address of a present user.

        A user who asks who has tried their address can be answered from it.
        """
        refused: Document = {
            "_id": user.id,
            "user_id": present.id if present else None,
            "at": user.created_at,
            "expires_at": user.created_at + _REFUSED_KEPT,
        }
        # Looked for as one who is inserted: the work tells nobody whether the address is known.
        async with self._changing(user.id):
            await self._refused.insert_one(refused, session=self._session)
        self.written.append(UserWrite(None, None))

    async def forget_refused(self, user_id: UUID) -> None:
        """Forget who tried to register under the user's address."""
        await self._refused.delete_many({"user_id": user_id}, session=self._session)

    async def find(self, user_id: UUID) -> User | None:
        """Return the user of this id."""
        return await self._find_one({"_id": user_id})

    async def find_by_email(self, email: str) -> User | None:
        """Return the user who signs in with this normalised address."""
        return await self._find_one({"email": email})

    async def find_many(self, user_ids: Sequence[UUID]) -> list[User]:
        """Return those users who exist, in no order."""
        with unavailable_on_fault():
            documents = await self._users.find({"_id": {"$in": list(user_ids)}}).to_list()
        return [user_of(document) for document in documents]

    async def page(self, *, email: str | None, before: UUID | None, limit: int) -> list[User]:
        """Return up to `limit` users, newest first, older than the user `before`."""
        query: Document = {}
        if email is not None:
            query["email"] = email
        if before is not None:
            query["_id"] = {"$lt": before}
        with unavailable_on_fault():
            documents = await self._users.find(query).sort("_id", -1).limit(limit).to_list()
        return [user_of(document) for document in documents]

    async def get(self, user_id: UUID) -> User:
        """Return the user of this id, within a transaction.

        Raises:
            NotFoundError: `user_not_found`.
        """
        user = await self.find_present(user_id)
        if user is None:
            raise user_not_found()
        return user

    async def find_present(self, user_id: UUID) -> User | None:
        """Return the user of this id if there is one, within a transaction."""
        return await self._find_present({"_id": user_id})

    async def find_holder(self, email: str) -> User | None:
        """Return the user who has this normalised address, within a transaction."""
        return await self._find_present({"email": email})

    async def save(self, user: User) -> User:
        """Replace the user, as the next version: what was judged by the last one is refused then."""
        saved = replace(user, version=user.version + 1)
        async with self._changing(user.id):
            replaced: Document | None = await self._users.find_one_and_update(
                {"_id": user.id}, {"$set": _to_document(saved)}, session=self._session
            )
        if replaced is not None:
            self.written.append(UserWrite(user_of(replaced), saved))
        return saved

    async def renew_version(self, user_id: UUID, **fields: Any) -> None:
        """Count a change that concerns sign-in, so that what was judged before it is refused."""
        changed: Document = {"$inc": {"version": 1}}
        if fields:
            changed["$set"] = fields
        async with self._changing(user_id):
            before: Document | None = await self._users.find_one_and_update(
                {"_id": user_id}, changed, session=self._session
            )
        if before is not None:
            after = {**before, **fields, "version": before["version"] + 1}
            self.written.append(UserWrite(user_of(before), user_of(after)))

    async def hold(self, user: User, **times: datetime) -> bool:
        """Tell whether the user is neither locked nor changed since they were read, and keep these times.

        Writing to the user makes a change at the same moment conflict: no session and no key slips past a
        lock or a new password that ends the others.
        """
        held = await self._users.update_one(
            {"_id": user.id, "version": user.version, "locked": False},
            {"$set": times},
            session=self._session,
        )
        return held.matched_count == 1

    async def hold_standing(
        self, user_id: UUID, roles: Collection[Role], *, since: datetime | None = None
    ) -> User | None:
        """Return a user if they hold one of the roles and are not locked, and were not since a time.

        Writing to the user makes a lock or another role at the same moment conflict.
        """
        query: Document = {"_id": user_id, "locked": False, "role": {"$in": [role.value for role in roles]}}
        if since is not None:
            query["$or"] = [{"rights_lost_at": None}, {"rights_lost_at": {"$lt": since}}]
        held = await self._users.find_one_and_update(
            query, {"$currentDate": {"request_carried_out_at": True}}, session=self._session
        )
        return None if held is None else user_of(held)

    async def _find_present(self, query: Document) -> User | None:
        document = await self._users.find_one(query, session=self._session)
        return user_of(document) if document else None

    def _changing(self, user_id: UUID) -> AbstractAsyncContextManager[None]:
        assert self._session is not None  # noqa: S101 - users are never written alone
        return USER.changing(self._database, self._session, {"_id": user_id})

    async def _find_one(self, query: Document) -> User | None:
        with unavailable_on_fault():
            document = await self._users.find_one(query)
        return user_of(document) if document else None


def _to_document(user: User) -> Document:
    document = asdict(user)
    document["_id"] = document.pop("id")
    document["role"] = user.role.value
    return document


def user_of(document: Document) -> User:
    """Return the user that a document keeps."""
    return User(
        id=document["_id"],
        email=document["email"],
        display_name=document["display_name"],
        role=Role(document["role"]),
        locked=document["locked"],
        created_at=document["created_at"],
        password_hash=document["password_hash"],
        version=document["version"],
        second_factor=document.get("second_factor", False),
        rights_lost_at=document.get("rights_lost_at"),
        email_confirmed=document["email_confirmed"],
        signed_in_at=document.get("signed_in_at"),
        password_is_temporary=document.get("password_is_temporary", False),
        enrolment=EnrolmentCode(**document["enrolment"]) if document.get("enrolment") else None,
        grants=tuple(RoleGrant(grant["by"], grant["at"]) for grant in document.get("grants", ())),
    )
