"""Preferences in MongoDB, one document for each user who has said something."""

from collections.abc import Collection
from datetime import time
from decimal import Decimal

from pymongo.errors import PyMongoError

from daemons.contracts.names import Language, NoticeType
from daemons.notifier.preferences.preferences import Preferences, QuietHours
from daemons.notifier.reading import reading
from daemons.shared.mongo import Database, Document, Session, unavailable


class MongoPreferences:
    """Who has said nothing has the defaults and no document."""

    def __init__(self, database: Database) -> None:
        self._preferences = database["preferences"]

    async def of(self, user_id: str) -> Preferences:
        """Return a user's preferences.

        Raises:
            TransientError: the database does not answer; so do all methods here but `of_all`.
        """
        with reading():
            found = await self._preferences.find_one({"_id": user_id})
        return Preferences() if found is None else _preferences_of(found)

    async def chosen_language(self, user_id: str) -> Language | None:
        """Return the language that a user has chosen, None if they have said nothing."""
        with reading():
            found = await self._preferences.find_one({"_id": user_id}, {"language": 1})
        return None if found is None else Language(found["language"])

    async def of_all(self, user_ids: Collection[str], session: Session) -> dict[str, Preferences]:
        """Return the preferences of those users who have said something."""
        if not user_ids:
            return {}
        found = self._preferences.find({"_id": {"$in": list(user_ids)}}, session=session)
        return {one["_id"]: _preferences_of(one) async for one in found}

    async def save(self, user_id: str, preferences: Preferences) -> None:
        """Keep what a user wants from now on."""
        try:
            await self._preferences.replace_one(
                {"_id": user_id}, _to_document(user_id, preferences), upsert=True
            )
        except PyMongoError as error:
            raise unavailable(error) from error


def _to_document(user_id: str, preferences: Preferences) -> Document:
    quiet = preferences.quiet_hours
    return {
        "_id": user_id,
        "events": sorted(one.value for one in preferences.events),
        "channels": sorted(preferences.channels),
        "thresholds": {currency: str(amount) for currency, amount in preferences.thresholds.items()},
        "quiet_hours": None if quiet is None else [quiet.begin.isoformat(), quiet.end.isoformat()],
        "zone": preferences.zone,
        "language": preferences.language.value,
    }


def _preferences_of(document: Document) -> Preferences:
    quiet = document["quiet_hours"]
    return Preferences(
        events=frozenset(NoticeType(one) for one in document["events"]),
        channels=frozenset(document["channels"]),
        thresholds={currency: Decimal(amount) for currency, amount in document["thresholds"].items()},
        quiet_hours=quiet and QuietHours(time.fromisoformat(quiet[0]), time.fromisoformat(quiet[1])),
        zone=document["zone"],
        language=Language(document["language"]),
    )
