"""Owed messages in MongoDB, removed once the notifier has them; and the requests that their codes answer."""

from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pymongo import ReturnDocument

from daemons.shared.mongo import Database, Document, Session, unavailable_on_fault
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import CodeOf, OwedMessage, Template
from daemons.user_api.mail.request import MailRequest
from daemons.user_api.schema import MAIL_REQUESTS, OWED_MESSAGES

_READ = 50


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that one process tries to send, and how often that was tried, this time included."""

    message: OwedMessage
    tries: int


class MongoOwedMessages:
    """The messages of all processes; each is sent by one of them at a time."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._messages = database[OWED_MESSAGES]
        self._session = session

    async def owe(self, message: OwedMessage) -> None:
        """Keep a message in the transaction of what it tells."""
        await self._messages.insert_one(_to_document(message), session=self._session)

    async def forget(self, user_id: UUID, email: str) -> None:
        """Owe nothing any longer to the user, or to their address."""
        query: Document = {"$or": [{"user_id": user_id}, {"email": email}]}
        await self._messages.delete_many(query, session=self._session)

    async def take(self, now: datetime, *, lease: timedelta) -> Taken | None:
        """Take a message that is due for this process alone, for so long; None if none is due."""
        with unavailable_on_fault():
            found = await self._messages.find_one_and_update(
                {"next_try_at": {"$lte": now}},
                {"$set": {"next_try_at": now + lease}, "$inc": {"tries": 1}},
                sort=[("next_try_at", 1)],
                return_document=ReturnDocument.AFTER,
            )
        return None if found is None else Taken(_message_of(found), found["tries"])

    async def put_off(self, taken: Taken, until: datetime) -> None:
        """Try the message again then."""
        with unavailable_on_fault():
            await self._messages.update_one(
                {"_id": taken.message.id, "tries": taken.tries}, {"$set": {"next_try_at": until}}
            )

    async def remove(self, taken: Taken) -> None:
        """Owe the message no longer."""
        with unavailable_on_fault():
            await self._messages.delete_one({"_id": taken.message.id})

    async def oldest(self) -> datetime | None:
        """Return since when the message that waits longest is owed."""
        with unavailable_on_fault():
            found = await self._messages.find_one({"decoy": False}, {"owed_at": 1}, sort=[("owed_at", 1)])
        return None if found is None else found["owed_at"]


def _to_document(message: OwedMessage) -> Document:
    code = message.code
    return {
        "_id": message.id,
        "template": message.template.value,
        "email": message.email,
        "name": message.name,
        "user_id": message.user_id,
        "values": dict(message.values),
        "code": None if code is None else {"purpose": code.purpose.value, "request_id": code.request_id},
        "owed_at": message.owed_at,
        "expires_at": message.expires_at,
        "decoy": message.decoy,
        "next_try_at": message.owed_at,
        "tries": 0,
    }


def _message_of(document: Document) -> OwedMessage:
    code = document["code"]
    return OwedMessage(
        id=document["_id"],
        template=Template(document["template"]),
        email=document["email"],
        name=document["name"],
        user_id=document["user_id"],
        values=document["values"],
        code=code and CodeOf(purpose=Purpose(code["purpose"]), request_id=code["request_id"]),
        owed_at=document["owed_at"],
        expires_at=document["expires_at"],
        decoy=document["decoy"],
    )


class MongoMailRequests:
    """What codes carry out; a request that is used is removed, and a TTL index sweeps the others."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._requests = database[MAIL_REQUESTS]
        self._session = session

    async def open(self, request: MailRequest) -> None:
        """Keep a request."""
        document = {**asdict(request), "_id": request.id, "purpose": request.purpose.value}
        del document["id"]
        await self._requests.insert_one(document, session=self._session)

    async def count_message(self, request: MailRequest) -> None:
        """Keep how many messages the request has."""
        await self._requests.update_one(
            {"_id": request.id}, {"$set": {"messages": request.messages}}, session=self._session
        )

    async def find_open(self, purpose: Purpose, email: str, now: datetime) -> list[MailRequest]:
        """Return the open requests of a purpose whose codes went to this address, newest first."""
        query = {"purpose": purpose.value, "email": email, "expires_at": {"$gt": now}}
        return await self._find(query)

    async def find_named(self, request_id: UUID, now: datetime) -> MailRequest | None:
        """Return the request with this id if it is open."""
        found = await self._find({"_id": request_id, "expires_at": {"$gt": now}})
        return found[0] if found else None

    async def find_open_of(self, user_id: UUID, purpose: Purpose, now: datetime) -> list[MailRequest]:
        """Return the user's open requests of a purpose, newest first."""
        query = {"user_id": user_id, "purpose": purpose.value, "expires_at": {"$gt": now}}
        return await self._find(query)

    async def close(self, request: MailRequest) -> bool:
        """Use the request up; False if it was used before."""
        closed = await self._requests.delete_one({"_id": request.id}, session=self._session)
        return closed.deleted_count == 1

    async def close_all(self, user_id: UUID, purpose: Purpose) -> int:
        """Let none of the user's requests of a purpose count any longer; returns how many did."""
        closed = await self._requests.delete_many(
            {"user_id": user_id, "purpose": purpose.value}, session=self._session
        )
        return closed.deleted_count

    async def forget(self, user_id: UUID, email: str) -> None:
        """Close every request of the user, and every one whose code went to their address."""
        query: Document = {"$or": [{"user_id": user_id}, {"email": email}]}
        await self._requests.delete_many(query, session=self._session)

    async def of_user(self, user_id: UUID, email: str) -> list[MailRequest]:
        """Return every request of the user, or whose code went to their address, oldest first."""
        query: Document = {"$or": [{"user_id": user_id}, {"email": email}]}
        with unavailable_on_fault():
            documents = await self._requests.find(query).sort("_id", 1).to_list()
        return [_request_of(document) for document in documents]

    async def _find(self, query: Document) -> list[MailRequest]:
        found = self._requests.find(query, session=self._session).sort("_id", -1).limit(_READ)
        # Within a transaction its own attempts judge the fault.
        with nullcontext() if self._session else unavailable_on_fault():
            documents = await found.to_list()
        return [_request_of(document) for document in documents]


def _request_of(document: Document) -> MailRequest:
    return MailRequest(
        id=document["_id"],
        purpose=Purpose(document["purpose"]),
        email=document["email"],
        user_id=document["user_id"],
        data=document["data"],
        created_at=document["created_at"],
        expires_at=document["expires_at"],
        messages=document["messages"],
    )
