"""Notifications in MongoDB, each under the position of its event."""

from collections.abc import Sequence
from uuid import UUID

from pymongo import DESCENDING

from daemons.contracts.names import EventType, Severity
from daemons.notifier.notifications.notification import Notification
from daemons.notifier.reading import reading
from daemons.shared.mongo import Database, Document, Session, insert_all

NotificationPlace = tuple[int, UUID]
"""Where a notification stands in their list: its event's position, then its own id."""


class MongoNotifications:
    """All notifications; each once for its event, channel and recipient."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._notifications = database["notifications"]
        self._session = session

    async def insert(self, placed: Sequence[tuple[int, Notification]]) -> None:
        """Add notifications, each with its event's position, in the transaction that records the events."""
        assert self._session is not None  # noqa: S101 - they are never written alone
        documents = [notification_document(notification, position) for position, notification in placed]
        await insert_all(self._notifications, documents, session=self._session)

    async def before(
        self, place: NotificationPlace | None, *, severity: Severity | None, limit: int
    ) -> list[tuple[NotificationPlace, Notification]]:
        """Return the notifications before a place, or the newest of all, newest first."""
        query: Document = {} if severity is None else {"severity": severity.value}
        if place is not None:
            position, notification_id = place
            query["$or"] = [
                {"position": {"$lt": position}},
                {"position": position, "_id": {"$lt": notification_id}},
            ]
        order = [("position", DESCENDING), ("_id", DESCENDING)]
        with reading():
            found = self._notifications.find(query).sort(order).limit(limit)
            return [((row["position"], row["_id"]), _notification_of(row)) async for row in found]


def notification_document(notification: Notification, position: int) -> Document:
    """Return what is stored of a notification."""
    return {
        "_id": notification.id,
        "position": position,
        "event_id": notification.event_id,
        "event_type": notification.event_type.value,
        "channel": notification.channel,
        "recipient": notification.recipient,
        "severity": notification.severity.value,
        "text": notification.text,
        "account_ids": list(notification.account_ids),
        "created_at": notification.created_at,
    }


def _notification_of(document: Document) -> Notification:
    return Notification(
        id=document["_id"],
        event_id=document["event_id"],
        event_type=EventType(document["event_type"]),
        channel=document["channel"],
        recipient=document["recipient"],
        severity=Severity(document["severity"]),
        text=document["text"],
        account_ids=tuple(document["account_ids"]),
        created_at=document["created_at"],
    )
