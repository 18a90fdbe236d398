"""Webhooks in MongoDB. The secrets are readable there: they sign."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pymongo import ASCENDING

from daemons.contracts.names import EventType
from daemons.notifier.reading import reading
from daemons.notifier.webhooks.webhook import Webhook
from daemons.shared.mongo import Database, Document, Session, unavailable_on_fault


class MongoWebhooks:
    """All webhooks; there are few."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._webhooks = database["webhooks"]
        self._session = session

    async def all(self) -> list[Webhook]:
        """Return the webhooks, oldest first.

        Raises:
            TransientError: the database does not answer; so do all reads without a session.
        """
        with reading():
            return await self.all_in(self._session)

    async def all_in(self, session: Session | None) -> list[Webhook]:
        """Return the webhooks as the session sees them; the driver's faults are the transaction's."""
        found = self._webhooks.find({}, session=session).sort("_id", ASCENDING)
        return [_webhook_of(document) async for document in found]

    async def find(self, webhook_id: UUID) -> Webhook | None:
        """Return a webhook."""
        with reading():
            return await self.get(webhook_id)

    async def get(self, webhook_id: UUID) -> Webhook | None:
        """Return a webhook, within a transaction."""
        found = await self._webhooks.find_one({"_id": webhook_id}, session=self._session)
        return None if found is None else _webhook_of(found)

    async def insert(self, webhook: Webhook) -> None:
        """Add a webhook."""
        await self._webhooks.insert_one(_to_document(webhook), session=self._session)

    async def change(self, webhook_id: UUID, **fields: Any) -> None:
        """Give fields of a webhook other values."""
        await self._webhooks.update_one({"_id": webhook_id}, {"$set": fields}, session=self._session)

    async def remove(self, webhook_id: UUID) -> None:
        """Remove a webhook, and its secrets with it."""
        await self._webhooks.delete_one({"_id": webhook_id}, session=self._session)

    async def note_failure(self, webhook_id: UUID, *, at: datetime, fault: str) -> datetime | None:
        """Keep what went wrong, and since when nothing has gone well; returns that time.

        Raises:
            TransientError: the database does not answer.
        """
        began: list[Document] = [
            {
                "$set": {
                    "last_fault": {"$literal": fault},
                    "failing_since": {"$ifNull": ["$failing_since", at]},
                }
            }
        ]
        with unavailable_on_fault():
            before = await self._webhooks.find_one_and_update({"_id": webhook_id}, began)
        return None if before is None else before["failing_since"] or at

    async def note_success(self, webhook_id: UUID) -> None:
        """Forget failures."""
        with unavailable_on_fault():
            await self._webhooks.update_one(
                {"_id": webhook_id, "failing_since": {"$ne": None}},
                {"$set": {"failing_since": None, "last_fault": None}},
            )


def _to_document(webhook: Webhook) -> Document:
    return {
        "_id": webhook.id,
        "url": webhook.url,
        "types": sorted(event_type.value for event_type in webhook.types),
        "secret": webhook.secret,
        "previous_secret": webhook.previous_secret,
        "previous_until": webhook.previous_until,
        "created_at": webhook.created_at,
        "failing_since": webhook.failing_since,
        "last_fault": webhook.last_fault,
        "disabled_at": webhook.disabled_at,
    }


def _webhook_of(document: Document) -> Webhook:
    return Webhook(
        id=document["_id"],
        url=document["url"],
        types=frozenset(EventType(name) for name in document["types"]),
        secret=document["secret"],
        created_at=document["created_at"],
        previous_secret=document["previous_secret"],
        previous_until=document["previous_until"],
        failing_since=document["failing_since"],
        last_fault=document["last_fault"],
        disabled_at=document["disabled_at"],
    )
