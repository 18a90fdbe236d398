"""Dead letters in MongoDB, and the one document that says whether more may be set aside."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import pymongo
from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.errors import PyMongoError

from daemons.notifier.dead_letters.dead_letter import (
    DeadLetter,
    DeadLetterLimit,
    Identity,
    Intake,
    KeptLetter,
    LetterStatus,
    Replay,
    ReplayResult,
)
from daemons.notifier.documents import (
    dead_letter_document,
    dead_letter_from,
    intake_document,
    intake_from,
    replay_document,
)
from daemons.notifier.schema import INTAKE
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Session, run_transaction, unavailable

WrittenT = TypeVar("WrittenT")
_READ_TIMEOUT_SECONDS = 5


class ReplayedMeanwhileError(Exception):
    """Somebody else replayed one of the letters first; nothing was written."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The outcome of a batch's letters: set aside now, or held back by the limit."""

    fresh: Sequence[DeadLetter] = ()
    held: Sequence[DeadLetter] = ()


class MongoDeadLetters:
    """Letters, each once by its record's place and content; none is ever removed."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._letters = database["dead_letters"]
        self._intake = database["intake"]

    async def keep(
        self, letters: Sequence[DeadLetter], *, limit: DeadLetterLimit, now: datetime, session: Session
    ) -> Kept:
        """Set aside, in the caller's transaction, those not kept yet, as far as the limit goes.

        All processes write the intake's document, so they count together.
        """
        wanted = {letter.identity: letter for letter in letters}
        known = await self._known(wanted, session)
        fresh = [letter for identity, letter in wanted.items() if identity not in known]
        if not fresh:
            return Kept()
        before = await self._read_intake(session)
        intake, admitted = before.admit(len(fresh), limit=limit, now=now)
        kept = Kept(fresh[:admitted], fresh[admitted:])
        if kept.held and before.closed_at is None:
            intake = replace(intake, closed_by=told_of(kept.held[0]))
        if intake != before:
            await self._intake.replace_one(
                {"_id": INTAKE}, intake_document(intake), upsert=True, session=session
            )
        if kept.fresh:
            await self._letters.insert_many(
                [dead_letter_document(new_id(), letter, received_at=now) for letter in kept.fresh],
                session=session,
            )
        return kept

    async def _known(self, wanted: Collection[Identity], session: Session) -> set[Identity]:
        offsets: dict[tuple[str, int], list[int]] = {}
        for topic, partition, offset, _ in wanted:
            offsets.setdefault((topic, partition), []).append(offset)
        known: set[Identity] = set()
        for (topic, partition), asked in offsets.items():
            query = {"topic": topic, "partition": partition, "offset": {"$in": asked}}
            found = self._letters.find(query, {"offset": 1, "digest": 1}, session=session)
            known |= {(topic, partition, document["offset"], document["digest"]) async for document in found}
        return known

    async def _read_intake(self, session: Session | None) -> Intake:
        document = await self._intake.find_one({"_id": INTAKE}, session=session)
        return intake_from(document) if document else Intake()

    async def intake(self) -> Intake:
        """Return how many were set aside lately, and whether more may be."""
        return await self._read_intake(None)

    async def reopen(
        self,
        *,
        by: Document,
        at: datetime,
        reason: str,
        alongside: Callable[[Intake, Intake, Session], Awaitable[WrittenT]],
    ) -> tuple[Intake, WrittenT]:
        """Let letters be set aside again, counted from nothing.

        `alongside` gets the intake before and after, and writes what must be written with that; what it
        returns comes beside the intake.

        Raises:
            TransientError: it was not done and may be tried again.
            OutcomeUnknownError: it may have been done.
        """
        after = Intake(reopened={"by": by, "at": at, "reason": reason})

        async def body(session: Session) -> tuple[Intake, WrittenT]:
            before = await self._read_intake(session)
            await self._intake.replace_one(
                {"_id": INTAKE}, intake_document(after), upsert=True, session=session
            )
            return after, await alongside(before, after, session)

        return await run_transaction(self._client, body)

    async def find(self, letter_id: UUID) -> KeptLetter | None:
        """Return a letter."""
        document = await self._letters.find_one({"_id": letter_id})
        return dead_letter_from(document) if document else None

    async def page(
        self, *, topic: str | None, status: LetterStatus | None, before: UUID | None, limit: int
    ) -> list[KeptLetter]:
        """Return letters, newest first, older than the letter `before`."""
        query = _query(topic, status)
        if before is not None:
            query["_id"] = {"$lt": before}
        return await self._read(query, DESCENDING, limit)

    async def next_open(self, *, topic: str | None, after: UUID | None, limit: int) -> list[KeptLetter]:
        """Return open letters, oldest first, newer than the letter `after`."""
        query = _query(topic, LetterStatus.OPEN)
        if after is not None:
            query["_id"] = {"$gt": after}
        return await self._read(query, ASCENDING, limit)

    async def _read(self, query: Document, direction: int, limit: int) -> list[KeptLetter]:
        try:
            with pymongo.timeout(_READ_TIMEOUT_SECONDS):
                found = self._letters.find(query).sort("_id", direction).limit(limit)
                return [dead_letter_from(document) async for document in found]
        except PyMongoError as error:
            raise unavailable(error) from error

    async def settle(self, replays: Mapping[UUID, Replay], *, session: Session) -> None:
        """Write the outcome of each replay, in the transaction of its effect.

        Raises:
            ReplayedMeanwhileError: one of the letters is not open any more; the transaction must not go on.
        """
        writes = [_settling(letter_id, replay) for letter_id, replay in replays.items()]
        written = await self._letters.bulk_write(writes, ordered=False, session=session)
        if written.matched_count != len(writes):
            raise ReplayedMeanwhileError


def told_of(letter: DeadLetter) -> str:
    """Say which record it is and what is wrong with it; nothing of its content."""
    topic, partition, offset = letter.place
    return f"{topic}, partition {partition}, offset {offset}: {letter.reason}"


def _query(topic: str | None, status: LetterStatus | None) -> Document:
    query: Document = {}
    if topic is not None:
        query["topic"] = topic
    if status is not None:
        query["status"] = status.value
    return query


def _settling(letter_id: UUID, replay: Replay) -> UpdateOne:
    changed: Document = {"last_replay": replay_document(replay)}
    if replay.result is ReplayResult.UNDECODABLE:
        changed["reason"] = replay.reason
    else:
        changed["status"] = LetterStatus.REPLAYED.value
    return UpdateOne({"_id": letter_id, "status": LetterStatus.OPEN.value}, {"$set": changed})
