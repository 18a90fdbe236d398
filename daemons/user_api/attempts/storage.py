"""Counts of failed attempts in MongoDB, shared by all processes and kept across restarts."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from daemons.shared.mongo import Database, Document, unavailable_on_fault
from daemons.user_api.attempts.backoff import FIRST_PAUSE, FORGOTTEN_AFTER, BackOff
from daemons.user_api.schema import ATTEMPTS

# Not the present moment: another request may have read the clock a little earlier.
_PAST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was let in, counted as a failure until it is taken back.

    `failures` counts it in; `held_back` is how many were not let in since the failures began.
    """

    key: bytes
    failures: int
    held_back: int


class MongoAttempts:
    """Failed attempts by key; the key tells neither whom nor from where.

    An attempt is counted before it is judged, so that many at once cannot all be the first.
    """

    def __init__(self, database: Database) -> None:
        self._attempts = database[ATTEMPTS]
        # A crash may lose a few: they tell how long somebody knocked, and let nobody in.
        self._knocks = database.get_collection(ATTEMPTS, write_concern=WriteConcern(w=1))

    async def admit(self, key: bytes, back_off: BackOff, now: datetime) -> Attempt | datetime:
        """Count an attempt and let it in; or return when the next one will be."""
        with unavailable_on_fault():
            # The first attempts of a key may meet while they make its document; the second try finds it.
            for _ in range(2):
                try:
                    counted = await self._attempts.find_one_and_update(
                        {"_id": key, "not_before": {"$lte": now}},
                        _count(back_off, now),
                        upsert=True,
                        return_document=ReturnDocument.AFTER,
                    )
                except DuplicateKeyError:
                    continue
                found = counted or {}
                return Attempt(key, found.get("failures", 0), found.get("held_back", 0))
            kept = await self._knocks.find_one_and_update({"_id": key}, {"$inc": {"held_back": 1}})
        return now + FIRST_PAUSE if kept is None else max(kept["not_before"], now + FIRST_PAUSE)

    async def take_back(self, attempt: Attempt) -> None:
        """Uncount an attempt that was no failed guess, with the pause that it earned."""
        with unavailable_on_fault():
            last = await self._attempts.update_one(
                {"_id": attempt.key, "failures": attempt.failures},
                {"$inc": {"failures": -1}, "$set": {"not_before": _PAST}},
            )
            if not last.matched_count:
                await self._attempts.update_one(
                    {"_id": attempt.key, "failures": {"$gt": 0}}, {"$inc": {"failures": -1}}
                )

    async def forget(self, key: bytes) -> None:
        """Reset the count."""
        with unavailable_on_fault():
            await self._attempts.delete_one({"_id": key})


def _count(back_off: BackOff, now: datetime) -> list[Document]:
    """Return the update that adds a failure and its pause in one step."""
    costly = range(back_off.free_failures, back_off.failures_of_interest + 1)
    pauses = map(back_off.pause_after, costly)
    ends = [now + pause if pause else _PAST for pause in pauses]
    beyond_free = {"$max": [0, {"$subtract": ["$failures", back_off.free_failures]}]}
    place = {"$min": [beyond_free, len(ends) - 1]}
    return [
        {
            "$set": {
                "failures": {"$add": [{"$ifNull": ["$failures", 0]}, 1]},
                "expires_at": now + FORGOTTEN_AFTER,
            }
        },
        {"$set": {"not_before": {"$arrayElemAt": [ends, place]}}},
    ]
