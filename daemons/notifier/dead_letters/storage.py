"""Dead letters in MongoDB, and the one document that says whether more may be set aside."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, UpdateOne

from daemons.contracts.names import LetterStatus, ReplayResult
from daemons.notifier.dead_letters.dead_letter import (
    DeadLetter,
    DeadLetterLimit,
    Identity,
    Intake,
    Kept,
    KeptLetter,
    Replay,
)
from daemons.notifier.reading import reading
from daemons.notifier.schema import INTAKE
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Database, Document, Session


class ReplayedMeanwhileError(Exception):
    """Somebody else replayed one of the letters first; nothing was written."""


class MongoDeadLetters:
    """Letters, each once by its record's place and content; none is ever removed."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._letters = database["dead_letters"]
        self._intake = database["intake"]
        self._session = session

    async def keep(self, letters: Sequence[DeadLetter], *, limit: DeadLetterLimit, now: datetime) -> Kept:
        """Set aside those not kept yet, as far as the limit goes.

        All processes write the intake's document, so they count together.
        """
        wanted = {letter.identity: letter for letter in letters}
        known = await self._known(wanted)
        fresh = [letter for identity, letter in wanted.items() if identity not in known]
        if not fresh:
            return Kept()
        before = await self.intake()
        intake, admitted = before.admit(len(fresh), limit=limit, now=now)
        kept = Kept(fresh[:admitted], fresh[admitted:])
        if kept.held and before.closed_at is None:
            intake = replace(intake, closed_by=kept.held[0].summary)
        if intake != before:
            await self._intake.replace_one(
                {"_id": INTAKE}, _intake_document(intake), upsert=True, session=self._session
            )
        if kept.fresh:
            await self._letters.insert_many(
                [_letter_document(new_id(), letter, received_at=now) for letter in kept.fresh],
                session=self._session,
            )
        return kept

    async def _known(self, wanted: Collection[Identity]) -> set[Identity]:
        offsets: dict[tuple[str, int], list[int]] = {}
        for topic, partition, offset, _ in wanted:
            offsets.setdefault((topic, partition), []).append(offset)
        known: set[Identity] = set()
        for (topic, partition), asked in offsets.items():
            query = {"topic": topic, "partition": partition, "offset": {"$in": asked}}
            found = self._letters.find(query, {"offset": 1, "digest": 1}, session=self._session)
            known |= {(topic, partition, document["offset"], document["digest"]) async for document in found}
        return known

    async def intake(self) -> Intake:
        """Return how many were set aside lately, and whether more may be."""
        document = await self._intake.find_one({"_id": INTAKE}, session=self._session)
        if document is None:
            return Intake()
        return Intake(**{name: value for name, value in document.items() if name != "_id"})

    async def reopen(self, *, by: Document, at: datetime, reason: str) -> tuple[Intake, Intake]:
        """Let letters be set aside again, counted from nothing; returns the intake before and after."""
        before = await self.intake()
        after = Intake(reopened={"by": by, "at": at, "reason": reason})
        await self._intake.replace_one(
            {"_id": INTAKE}, _intake_document(after), upsert=True, session=self._session
        )
        return before, after

    async def find(self, letter_id: UUID) -> KeptLetter | None:
        """Return a letter."""
        document = await self._letters.find_one({"_id": letter_id})
        return _letter_of(document) if document else None

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
        with reading():
            found = self._letters.find(query).sort("_id", direction).limit(limit)
            return [_letter_of(document) async for document in found]

    async def settle(self, replays: Mapping[UUID, Replay]) -> None:
        """Write the outcome of each replay, in the transaction of its effect.

        Raises:
            ReplayedMeanwhileError: one of the letters is not open any more; the transaction must not go on.
        """
        writes = [_settling(letter_id, replay) for letter_id, replay in replays.items()]
        written = await self._letters.bulk_write(writes, ordered=False, session=self._session)
        if written.matched_count != len(writes):
            raise ReplayedMeanwhileError


def _query(topic: str | None, status: LetterStatus | None) -> Document:
    query: Document = {}
    if topic is not None:
        query["topic"] = topic
    if status is not None:
        query["status"] = status.value
    return query


def _settling(letter_id: UUID, replay: Replay) -> UpdateOne:
    changed: Document = {"last_replay": _replay_document(replay)}
    if replay.result is ReplayResult.UNDECODABLE:
        changed["reason"] = replay.reason
    else:
        changed["status"] = LetterStatus.REPLAYED.value
    return UpdateOne({"_id": letter_id, "status": LetterStatus.OPEN.value}, {"$set": changed})


def _letter_document(letter_id: UUID, letter: DeadLetter, *, received_at: datetime) -> Document:
    """Write a new letter whole, so that it can be replayed. Header names are anything, so values."""
    record = letter.record
    return {
        "_id": letter_id,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        # Of the record as it came: what is stored of it may be mended before it is replayed.
        "digest": letter.identity[-1],
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers.items()],
        "reason": letter.reason,
        "received_at": received_at,
        "status": LetterStatus.OPEN.value,
        "last_replay": None,
    }


def _letter_of(document: Document) -> KeptLetter:
    """Read a letter."""
    record = IncomingRecord(
        topic=document["topic"],
        partition=document["partition"],
        offset=document["offset"],
        key=document["key"],
        value=document["value"],
        headers={header["name"]: header["value"] for header in document["headers"]},
    )
    replay = document["last_replay"]
    return KeptLetter(
        id=document["_id"],
        letter=DeadLetter(record, document["reason"]),
        status=LetterStatus(document["status"]),
        received_at=document["received_at"],
        last_replay=Replay(**{**replay, "result": ReplayResult(replay["result"])}) if replay else None,
    )


def _replay_document(replay: Replay) -> Document:
    return {**asdict(replay), "result": replay.result.value}


def _intake_document(intake: Intake) -> Document:
    return asdict(intake)
