"""Users in MongoDB."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import ConflictError
from daemons.contracts.permissions import Role
from daemons.shared.mongo import Alongside, Client, Database, Document, Session, run_transaction
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import REGISTRATIONS, USERS
from daemons.user_api.sessions.access import NOTHING_ENDED, Ended, MongoAccess
from daemons.user_api.users.user import User, email_taken, user_not_found

_REFUSED_KEPT = timedelta(days=30)

AlongsideChange = Callable[[User, User, Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class UserChange:
    """A user before and after a change, and what of their access it ended."""

    before: User
    after: User
    ended: Ended = NOTHING_ENDED


class MongoUsers:
    """All users. Changes that end access end it in the same transaction."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._users = database[USERS]
        self._access = MongoAccess(client, database)
        self._refused = database[REGISTRATIONS]

    async def insert(self, user: User, *, alongside: Alongside) -> None:
        """Add a user, and in the same transaction what `alongside` writes.

        Raises:
            ConflictError: `email_taken`.
        """

        async def body(session: Session) -> None:
            await self._users.insert_one(_to_document(user), session=session)
            await alongside(session)

        try:
            await run_transaction(self._client, body)
        except DuplicateKeyError:
            raise email_taken() from None

    async def sign_up(
        self, user: User, *, alongside: Callable[[User | None, Session], Awaitable[None]]
    ) -> bool:
        """Add a user unless the address is taken; both ways read once and write one document.

        The refused one is kept for a while: it is what a user can be told who asks who tried their address.
        `alongside` gets who has the address already, if somebody does, and writes what must be written with
        either.
        """

        async def add(session: Session) -> None:
            await alongside(None, session)

        present = await self.find_by_email(user.email)
        if present is None:
            try:
                await self.insert(user, alongside=add)
            except ConflictError:
                present = await self.find_by_email(user.email)
            else:
                return True
        refused: Document = {
            "_id": user.id,
            "user_id": present.id if present else None,
            "at": user.created_at,
            "expires_at": user.created_at + _REFUSED_KEPT,
        }

        async def body(session: Session) -> None:
            await self._refused.insert_one(refused, session=session)
            await alongside(present, session)

        await run_transaction(self._client, body)
        return False

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

    async def change(
        self,
        user_id: UUID,
        decide: Callable[[User], User],
        *,
        end_sessions: bool = True,
        kept_session: UUID | None = None,
        alongside: AlongsideChange | None = None,
    ) -> UserChange:
        """Apply a change of the domain to the present user and end their access, in one transaction.

        Their API keys end with every change; their sessions may be kept. A decision that changes nothing
        writes nothing and ends nothing. `alongside` gets the user before
        and after, and writes what must be written with the change or not at all. It may run several times.

        Raises:
            NotFoundError: `user_not_found`.
            BankError: what `decide` raises; nothing is written.
        """

        async def body(session: Session) -> UserChange:
            document = await self._users.find_one({"_id": user_id}, session=session)
            if document is None:
                raise user_not_found()
            before = user_of(document)
            after = decide(before)
            if alongside is not None:
                await alongside(before, after, session)
            if after == before:
                return UserChange(before, after)
            after = replace(after, version=before.version + 1)
            await self._users.update_one({"_id": user_id}, {"$set": _to_document(after)}, session=session)
            ended = await self._access.end(
                user_id, kept_session=kept_session, keep_sessions=not end_sessions, session=session
            )
            return UserChange(before, after, ended)

        return await run_transaction(self._client, body)

    async def hold_standing(
        self, user_id: UUID, roles: Collection[Role], *, since: datetime, session: Session
    ) -> bool:
        """Tell whether a user holds one of the roles, is not locked and was not, since then.

        Writing to the user makes a lock or another role at the same moment conflict.
        """
        held = await self._users.update_one(
            {
                "_id": user_id,
                "locked": False,
                "role": {"$in": [role.value for role in roles]},
                "$or": [{"rights_lost_at": None}, {"rights_lost_at": {"$lt": since}}],
            },
            {"$currentDate": {"request_carried_out_at": True}},
            session=session,
        )
        return held.matched_count == 1

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
    )
