"""Dead letters shown, and replayed: decoded and recorded once more, as what Kafka brings is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog
from prometheus_client import Counter as Metric

from daemons.contracts.errors import NotFoundError, TransientError
from daemons.contracts.names import LetterStatus, ReplayResult
from daemons.notifier.dead_letters.audit_entries import ReplayTarget, replay_entry, resumption_entry
from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit, Intake, KeptLetter, Replay
from daemons.notifier.dead_letters.storage import MongoDeadLetters, ReplayedMeanwhileError
from daemons.notifier.event import Event
from daemons.notifier.event_log.decoding import UndecodableError, decode
from daemons.notifier.event_log.service import EventLog, entries_of, safe_to_repeat
from daemons.notifier.unit_of_work import NotifierWork
from daemons.shared.audit.record import Actor
from daemons.shared.audit.trail import log_act
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.pages import decode_id_cursor, encode_cursor

LETTERS_AT_ONCE = 200
_ATTEMPTS = 5
_replayed = Metric("bankctl_notifier_replayed_dead_letters", "Dead letters replayed, by result", ["result"])
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many letters came to which result, and the last of them if there may be more behind it."""

    results: Counter[ReplayResult]
    last: UUID | None


class DeadLetters:
    """Shows letters, replays them for operators, and lets the consumer set more aside again.

    Each request that does something has one record in the audit trail, in the transaction of what it does.
    """

    def __init__(
        self,
        work: NotifierWork,
        event_log: EventLog,
        store: MongoDeadLetters,
        limit: DeadLetterLimit,
        *,
        clock: Clock = utc_now,
    ) -> None:
        self.limit = limit
        self._work = work
        self._event_log = event_log
        self._store = store
        self._clock = clock

    async def page(
        self, *, topic: str | None, status: LetterStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[KeptLetter], str | None]:
        """Return letters, newest first, and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
        """
        # One more than asked tells whether another page follows.
        found = await self._store.page(
            topic=topic, status=status, before=decode_id_cursor(cursor), limit=limit + 1
        )
        shown = found[:limit]
        return shown, encode_cursor(shown[-1].id.bytes) if len(found) > limit else None

    async def intake(self) -> Intake:
        """Return how many were set aside lately, and whether more may be."""
        return await self._store.intake()

    async def fetch(self, letter_id: UUID) -> KeptLetter:
        """Return a letter.

        Raises:
            NotFoundError: `dead_letter_not_found`.
        """
        found = await self._store.find(letter_id)
        if found is None:
            raise dead_letter_not_found()
        return found

    async def replay(self, by: Actor, letter_id: UUID) -> KeptLetter:
        """Replay one letter and return it with its outcome; a replayed one is left unchanged.

        Raises:
            NotFoundError: `dead_letter_not_found`.
            TransientError: it may not have been done; doing it again is safe.
        """
        for _ in range(_ATTEMPTS):
            letter = await self.fetch(letter_id)
            if letter.status is LetterStatus.REPLAYED:
                return letter
            try:
                await self._replay(by, [letter], ReplayTarget.letter(letter_id))
            except ReplayedMeanwhileError:
                continue
            return await self.fetch(letter_id)
        raise _contended()

    async def replay_open(self, by: Actor, *, topic: str | None, after: UUID | None) -> Replayed:
        """Replay the next open letters, oldest first: a bounded number, so that an answer comes in time.

        Raises:
            TransientError: it may not have been done; doing it again is safe.
        """
        for _ in range(_ATTEMPTS):
            letters = await self._store.next_open(topic=topic, after=after, limit=LETTERS_AT_ONCE)
            try:
                replays = await self._replay(by, letters, ReplayTarget.all_of(topic)) if letters else {}
            except ReplayedMeanwhileError:
                continue
            results = Counter(replay.result for replay in replays.values())
            return Replayed(results, letters[-1].id if len(letters) == LETTERS_AT_ONCE else None)
        raise _contended()

    async def reopen_intake(self, by: Actor, *, reason: str) -> Intake:
        """Let the consumer set records aside again, counted from nothing.

        Raises:
            TransientError: it was not done and may be tried again.
            OutcomeUnknownError: it may have been done; doing it again is safe.
        """
        now = self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before, after = await tx.dead_letters.reopen(by=by.person(), at=now, reason=reason)
                entry = resumption_entry(by, before, after, reason=reason, at=now)
                tx.audit(entry)
        log_act(entry)
        return after

    async def _replay(
        self, by: Actor, letters: Sequence[KeptLetter], target: ReplayTarget
    ) -> Mapping[UUID, Replay]:
        """Apply the letters' effects, store the outcomes and record the act, in one transaction."""
        now, person = self._clock(), by.person()
        events: dict[UUID, Event] = {}
        replays: dict[UUID, Replay] = {}
        for letter in letters:
            try:
                events[letter.id] = decode(letter.letter.record)
            except UndecodableError as error:
                replays[letter.id] = Replay(
                    by=person, at=now, result=ReplayResult.UNDECODABLE, reason=str(error)
                )
        entries = entries_of(list(events.values()), now=now)
        with safe_to_repeat():
            async for attempt in self._work.attempts(duplicates=1):
                async with attempt as tx:
                    appended = await self._event_log.append(tx, entries)
                    fresh = {event.id for event, _ in appended.entries}
                    for letter_id, event in events.items():
                        new = event.id in fresh
                        # Of two letters with one event the first has recorded it.
                        fresh.discard(event.id)
                        result = ReplayResult.RECORDED if new else ReplayResult.ALREADY_RECORDED
                        replays[letter_id] = Replay(by=person, at=now, result=result, event_id=event.id)
                    await tx.dead_letters.settle(replays)
                    entry = replay_entry(by, target, replays, at=now)
                    tx.audit(entry)
        self._event_log.committed(appended, entries, now=now)
        log_act(entry)
        for letter_id, replay in replays.items():
            _replayed.labels(replay.result.value).inc()
            _log.info("dead letter replayed", dead_letter_id=str(letter_id), result=replay.result.value)
        return replays


def dead_letter_not_found() -> NotFoundError:
    """The error for an id that no dead letter has."""
    return NotFoundError("dead_letter_not_found", "There is no such dead letter.")


def _contended() -> TransientError:
    return TransientError(
        "unavailable", "Others replay the same letters at this moment; try again.", retry_after_seconds=1
    )
