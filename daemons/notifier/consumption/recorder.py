"""The effect of a batch of records: events recorded once, staff notified, unreadable records set aside."""

from collections.abc import Iterable, Sequence

import structlog
from prometheus_client import Counter, Gauge

from daemons.contracts.errors import TransientError
from daemons.notifier.dead_letters.dead_letter import DeadLetter, DeadLetterLimit, Kept
from daemons.notifier.event import Event
from daemons.notifier.event_log.decoding import UndecodableError, decode
from daemons.notifier.event_log.service import EventLog, entries_of, safe_to_repeat
from daemons.notifier.unit_of_work import NotifierWork
from daemons.shared.clock import Clock, utc_now
from daemons.shared.kafka.records import IncomingRecord

_dead_letters = Counter("bankctl_notifier_dead_letters", "Records set aside as undecodable", ["topic"])
_holds = Gauge(
    "bankctl_notifier_holds_for_dead_letters",
    "1 while the consumer stands still because the limit of dead letters is reached",
)
_log = structlog.get_logger()


class EventRecorder:
    """Records batches as the consumer brings them, and is the gate of dead letters."""

    def __init__(
        self, work: NotifierWork, event_log: EventLog, *, limit: DeadLetterLimit, clock: Clock = utc_now
    ) -> None:
        self._work = work
        self._event_log = event_log
        self._limit = limit
        self._clock = clock
        self._holding = False

    async def record_events(self, records: Sequence[IncomingRecord]) -> None:
        """Record each event once, in the batch's order, and set undecodable records aside up to the limit.

        Raises:
            TransientError: it may not have been done, or some records are held back by the limit of dead
                letters; the same records may be given again.
        """
        if not records:
            return
        now = self._clock()
        events, letters = _sort_out(records)
        entries, kept = entries_of(events, now=now), Kept()
        with safe_to_repeat():
            async for attempt in self._work.attempts(recorded=False, duplicates=1):
                async with attempt as tx:
                    appended = await self._event_log.append(tx, entries)
                    if letters:
                        kept = await tx.dead_letters.keep(letters, limit=self._limit, now=now)
        self._event_log.committed(appended, entries, now=now)
        _report_dead_letters(kept.fresh)
        self._hold(kept.held)

    def _hold(self, held: Sequence[DeadLetter]) -> None:
        """Stand still before records that the limit holds back, for burying them would hide the fault."""
        _holds.set(bool(held))
        began, self._holding = bool(held) and not self._holding, bool(held)
        if began:
            _log.error(
                "the limit of dead letters is reached, the consumer stands still",
                record=held[0].summary,
                limit=self._limit.letters,
            )
        if held:
            raise TransientError(
                "unavailable",
                f"The limit of {self._limit.letters} dead letters is reached and the next record cannot be "
                f"decoded either ({held[0].summary}). Mend what writes or reads it: what is decodable then "
                "goes on by itself. To set more aside: `bankctl admin dead-letters resume --reason WHY`.",
            )


def _sort_out(records: Iterable[IncomingRecord]) -> tuple[list[Event], list[DeadLetter]]:
    events: list[Event] = []
    letters: list[DeadLetter] = []
    for record in records:
        try:
            events.append(decode(record))
        except UndecodableError as error:
            letters.append(DeadLetter(record, str(error)))
    return events, letters


def _report_dead_letters(letters: Iterable[DeadLetter]) -> None:
    for letter in letters:
        _dead_letters.labels(letter.record.topic).inc()
        _log.error(
            "record set aside as a dead letter",
            topic=letter.record.topic,
            partition=letter.record.partition,
            offset=letter.record.offset,
            reason=letter.reason,
        )
