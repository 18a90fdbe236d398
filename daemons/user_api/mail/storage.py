"""Owed messages in MongoDB: written with what they tell, removed once the notifier has them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pymongo import ReturnDocument

from daemons.shared.mongo import Database, Document, Session, unavailable_on_fault
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import CodeOf, OwedMessage, Template
from daemons.user_api.schema import OWED_MESSAGES


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
