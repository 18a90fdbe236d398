"""The effect of decoded events, each once: they are recorded and people are notified."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog
from prometheus_client import Counter, Histogram
from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.contracts.names import Severity
from daemons.notifier.deliveries.owing import Owing
from daemons.notifier.event import Event
from daemons.notifier.event_log.erasure import erasure_in
from daemons.notifier.event_log.storage import Appended, Entry, LogEnd
from daemons.notifier.notifications.notification import Notification, notification_of
from daemons.notifier.unit_of_work import NotifierTransaction
from daemons.shared.ids import new_id

_recorded = Counter("bankctl_notifier_recorded_events", "Events recorded", ["type"])
_duplicates = Counter("bankctl_notifier_duplicate_events", "Events that came again and had no further effect")
_seconds_to_record = Histogram(
    "bankctl_notifier_record_seconds",
    "Time from an event to its record",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
_log = structlog.get_logger()


class EventLog:
    """Records events, and what they owe, in others' transactions.

    `on_recorded` is called after each that added something.
    """

    def __init__(self, end: LogEnd, *, on_recorded: Callable[[], None], owing: Sequence[Owing] = ()) -> None:
        self._end = end
        self._on_recorded = on_recorded
        self._owing = owing

    async def append(self, tx: NotifierTransaction, entries: Sequence[Entry]) -> Appended:
        """Write those of the entries whose events are not recorded yet.

        Raises:
            DuplicateKeyError: it is not known which; another attempt finds out.
        """
        appended = await tx.events.append(entries)
        if appended.entries:
            await tx.notifications.insert(appended.notifications)
            await self._owe(tx, appended)
            for event, notification in appended.entries:
                if (erased := erasure_in(event)) is not None:
                    await tx.erasure.erase(erased, at=notification.created_at)
        return appended

    async def _owe(self, tx: NotifierTransaction, appended: Appended) -> None:
        events = [event for event, _ in appended.entries]
        owed = [one for owing in self._owing for one in await owing.owed(events, tx.session)]
        if owed:
            await tx.deliveries.insert(owed, at=appended.entries[0][1].created_at)

    def committed(self, appended: Appended, entries: Sequence[Entry], *, now: datetime) -> None:
        """Count what a committed transaction has added of the entries, and tell people of it."""
        self._end.committed(appended)
        if appended.entries:
            self._on_recorded()
        _duplicates.inc(len(entries) - len(appended.entries))
        for event, notification in appended.entries:
            _recorded.labels(event.type.value).inc()
            _seconds_to_record.observe(max(0.0, (now - event.time).total_seconds()))
            _tell(notification)


def entries_of(events: Sequence[Event], *, now: datetime) -> list[Entry]:
    """Return each event with its notification."""
    return [(event, notification_of(event, notification_id=new_id(), created_at=now)) for event in events]


@contextmanager
def safe_to_repeat() -> Iterator[None]:
    """Say of a transaction of unknown outcome that it may be tried again: each event has its effect once.

    Raises:
        TransientError: it may not have been done.
    """
    try:
        yield
    except (OutcomeUnknownError, DuplicateKeyError) as error:
        raise TransientError("unavailable", "The events may not have been recorded; try again.") from error


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
