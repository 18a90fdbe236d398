"""What each person has funded alone each day, per currency: written in the funding's own transaction."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from pymongo import ReturnDocument

from daemons.shared.mongo import Database, Document, Session

_KEPT = timedelta(days=7)
"""Longer than a day, so that a clock that is wrong forgets nothing that counts."""


class BeyondAloneLimitError(Exception):
    """The funding would take the day's sum beyond what one person may fund alone; nothing was written."""


class MongoFundingsAlone:
    """The sums of each day (UTC), swept some days later.

    Two fundings at once write the same document, so that both are counted.
    """

    def __init__(self, database: Database) -> None:
        self._sums = database["fundings_alone"]

    async def add(
        self,
        person: UUID,
        amount_minor: int,
        currency: str,
        *,
        limit_minor: int,
        at: datetime,
        session: Session,
    ) -> None:
        """Count a funding in its own transaction.

        Raises:
            BeyondAloneLimitError: the sum would be more than the limit; the transaction must not go on.
        """
        day = at.astimezone(UTC).date().isoformat()
        counted: Document | None = await self._sums.find_one_and_update(
            {"_id": f"{person} {currency} {day}"},
            {"$inc": {"minor": amount_minor}, "$setOnInsert": {"expires_at": at + _KEPT}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if counted is None or counted["minor"] > limit_minor:
            raise BeyondAloneLimitError
