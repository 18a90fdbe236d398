"""What the notifier knows of who an erased user was goes; that something happened, and when, stays.

The events that tell of users hold addresses and names, and prove nothing of the books: they are rewritten,
with their notifications, which the proof then finds right. Events of transactions are left as they were told.
"""

from datetime import datetime
from typing import Any

from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.names import DeliveryState, EventType, UserStatus
from daemons.notifier.event import Event, data_from
from daemons.notifier.notifications.notification import text_of
from daemons.shared.mongo import Database, Document, Session

_OF_USERS = [EventType.USER_REGISTERED.value, EventType.USER_CHANGED.value]


class MongoErasure:
    """Writes within the transaction that records that a user was erased."""

    def __init__(self, database: Database, session: Session) -> None:
        self._database = database
        self._session = session

    async def erase(self, told: UserChanged, *, at: datetime) -> None:
        """Take the user out of what was recorded before, forget their wishes, and owe them nothing more."""
        user_id, session = told.user_id, self._session
        await self._database["preferences"].delete_one({"_id": user_id}, session=session)
        query: Document = {"user_ids": user_id, "type": {"$in": _OF_USERS}}
        async for document in self._database["events"].find(query, session=session):
            data = _without(document["data"], told)
            text = text_of(data_from(EventType(document["type"]), data))
            await self._database["events"].update_one(
                {"_id": document["_id"]}, {"$set": {"data": data}}, session=session
            )
            await self._database["notifications"].update_many(
                {"event_id": document["id"]}, {"$set": {"text": text}}, session=session
            )
        given_up = {"state": DeliveryState.GIVEN_UP.value, "settled_at": at, "fault": "the user was erased"}
        await self._database["deliveries"].update_many(
            {"recipient": user_id, "due_at": {"$type": "date"}},
            {"$set": given_up, "$unset": {"due_at": "", "order": ""}},
            session=session,
        )


def erasure_in(event: Event) -> UserChanged | None:
    """Return what the event tells of a user who was erased, None if it is about something else."""
    data = event.data
    return data if isinstance(data, UserChanged) and data.status is UserStatus.ERASED else None


def _without(data: dict[str, Any], told: UserChanged) -> dict[str, Any]:
    """Return the data of an event with the name and address that the erased user has now."""
    now = {"display_name": told.display_name, "email": told.email}
    changed = {**data, **now} if data["user_id"] == told.user_id else dict(data)
    by = data["initiated_by"]
    if by is not None and by["user_id"] == told.user_id:
        changed["initiated_by"] = {**by, "display_name": told.display_name}
    return changed
