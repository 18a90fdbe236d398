"""The effect of a batch of records: events recorded once, staff notified, unreadable records set aside."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import structlog
from prometheus_client import Counter, Gauge, Histogram

from daemons.contracts.errors import TransientError
from daemons.notifier.dead_letters.dead_letter import DeadLetter, DeadLetterLimit
from daemons.notifier.dead_letters.storage import Kept, MongoDeadLetters, told_of
from daemons.notifier.event import Event
from daemons.notifier.event_log.decoding import UndecodableError, decode
from daemons.notifier.event_log.storage import Alongside, Entry, MongoEventLog
from daemons.notifier.notifications.notification import Notification, notification_of
from daemons.notifier.severity import Severity
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Session

_recorded = Counter("bankctl_notifier_recorded_events", "Events recorded", ["type"])
_duplicates = Counter("bankctl_notifier_duplicate_events", "Events that came again and had no further effect")
_dead_letters = Counter("bankctl_notifier_dead_letters", "Records set aside as undecodable", ["topic"])
_holds = Gauge(
    "bankctl_notifier_holds_for_dead_letters",
    "1 while the consumer stands still because the limit of dead letters is reached",
)
_seconds_to_record = Histogram(
    "bankctl_notifier_record_seconds",
    "Time from an event to its record",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
_log = structlog.get_logger()


class EventRecorder:
    """Records batches; `on_recorded` is called after each commit that added something."""

    def __init__(
        self,
        log: MongoEventLog,
        dead_letters: MongoDeadLetters,
        *,
        limit: DeadLetterLimit,
        on_recorded: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._event_log = log
        self._dead_letters = dead_letters
        self._limit = limit
        self._on_recorded = on_recorded
        self._clock = clock
        self._holding = False

    async def record_events(self, records: Sequence[IncomingRecord]) -> None:
        """Record each event once, in the batch's order, and set undecodable records aside up to the limit.

        Raises:
            TransientError: it may not have been done, or some records are held back by the limit of dead
                letters; the same records may be given again.
        """
        now = self._clock()
        events, letters = _sort_out(records)
        kept = Kept()

        async def keep(_written: Sequence[Entry], session: Session) -> None:
            nonlocal kept
            kept = await self._dead_letters.keep(letters, limit=self._limit, now=now, session=session)

        await self.record(events, now=now, alongside=keep if letters else None)
        _report_dead_letters(kept.fresh)
        self._hold(kept.held)

    async def record(self, events: Sequence[Event], *, now: datetime, alongside: Alongside | None) -> None:
        """Have the effect of decoded events, each once: it is recorded and people are told.

        Raises:
            TransientError: it may not have been done; doing it again is safe.
        """
        entries = [
            (event, notification_of(event, notification_id=new_id(), created_at=now)) for event in events
        ]
        written = await self._event_log.append(entries, alongside=alongside)
        if written:
            self._on_recorded()
        _duplicates.inc(len(entries) - len(written))
        for event, notification in written:
            _recorded.labels(event.type.value).inc()
            _seconds_to_record.observe(max(0.0, (now - event.time).total_seconds()))
            _tell(notification)

    def _hold(self, held: Sequence[DeadLetter]) -> None:
        """Stand still before records that the limit holds back, for burying them would hide the fault."""
        _holds.set(bool(held))
        began, self._holding = bool(held) and not self._holding, bool(held)
        if began:
            _log.error(
                "the limit of dead letters is reached, the consumer stands still",
                record=told_of(held[0]),
                limit=self._limit.letters,
            )
        if held:
            raise TransientError(
                "unavailable",
                f"The limit of {self._limit.letters} dead letters is reached and the next record cannot be "
                f"decoded either ({told_of(held[0])}). Mend what writes or reads it: what is decodable then "
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


def _tell(notification: Notification) -> None:
    """Send the notification over its channel, which is the log."""
    write = _log.warning if notification.severity is Severity.WARNING else _log.info
    write(
        "notification",
        text=notification.text,
        notification_id=str(notification.id),
        event_id=str(notification.event_id),
        event_type=notification.event_type.value,
        account_ids=notification.account_ids,
    )
