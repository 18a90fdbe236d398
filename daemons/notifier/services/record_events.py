"""The effect of a batch of records: events recorded once, people told, what cannot be read set aside."""

from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client import Counter, Histogram

from daemons.notifier.domain.decoding import UndecodableError, decode
from daemons.notifier.domain.event import Event
from daemons.notifier.domain.notification import Notification, notification_of
from daemons.notifier.domain.severity import Severity
from daemons.notifier.storage.documents import DeadLetter
from daemons.notifier.storage.mongo_event_log import MongoEventLog
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord

_recorded = Counter("bankctl_notifier_recorded_events", "Events recorded", ["type"])
_duplicates = Counter("bankctl_notifier_duplicate_events", "Events that came again and had no further effect")
_dead_letters = Counter("bankctl_notifier_dead_letters", "Records set aside as undecodable", ["topic"])
_seconds_to_record = Histogram(
    "bankctl_notifier_record_seconds",
    "Time from an event to its record",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
_log = structlog.get_logger()


class EventRecorder:
    """Records batches; `on_recorded` is called after each commit that added something."""

    def __init__(
        self, log: MongoEventLog, *, on_recorded: Callable[[], None], clock: Clock = utc_now
    ) -> None:
        self._event_log = log
        self._on_recorded = on_recorded
        self._clock = clock

    async def record_events(self, records: Sequence[IncomingRecord]) -> None:
        """Record each event once, in the batch's order, and keep undecodable records as dead letters.

        Raises:
            TransientError: it may not have been done; the same records may be given again.
        """
        now = self._clock()
        events, letters = _sort_out(records)
        entries = [
            (event, notification_of(event, notification_id=new_id(), created_at=now)) for event in events
        ]
        await self._event_log.keep_dead_letters(letters, received_at=now)
        _report_dead_letters(letters)
        written = await self._event_log.append(entries)
        if written:
            self._on_recorded()
        _duplicates.inc(len(entries) - len(written))
        for event, notification in written:
            _recorded.labels(event.type.value).inc()
            _seconds_to_record.observe(max(0.0, (now - event.time).total_seconds()))
            _tell(notification)


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
