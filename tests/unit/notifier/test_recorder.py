"""The effect of a batch: what is recorded, told and set aside, and when the consumer stands still."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pymongo.errors import DuplicateKeyError
from structlog.testing import capture_logs

from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.dead_letter import DeadLetter, DeadLetterLimit, Kept
from daemons.notifier.event_log.decoding import decode
from daemons.notifier.event_log.service import EventLog, entries_of
from daemons.notifier.event_log.storage import Appended, Entry, LogEnd
from daemons.notifier.notifications.notification import Notification, notification_of
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from tests.support.events import completed, consumed, failed, incoming, publishable

NOW = utc_now()
LIMIT = DeadLetterLimit(3, timedelta(hours=1))


class Database:
    """Plays the log, which writes each event once, and the dead letters, of which so many are admitted."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.pending: list[Entry] = []
        self.notified: list[tuple[int, Notification]] = []
        self.kept: list[tuple[list[DeadLetter], DeadLetterLimit, datetime]] = []
        self.admitted = 9

    async def append(self, entries: Sequence[Entry]) -> Appended:
        known = {event.id for event, _ in self.written}
        self.pending = [entry for entry in entries if entry[0].id not in known]
        return Appended(len(self.written) + 1, self.pending)

    async def insert(self, placed: Sequence[tuple[int, Notification]]) -> None:
        self.notified += placed

    async def keep(self, letters: Sequence[DeadLetter], *, limit: DeadLetterLimit, now: datetime) -> Kept:
        self.kept.append((list(letters), limit, now))
        return Kept(letters[: self.admitted], letters[self.admitted :])


class Work:
    """Plays attempts at transactions; before each one so many are undone, after which `meanwhile` happens."""

    def __init__(self, database: Database) -> None:
        self.database = self.events = self.notifications = self.dead_letters = database
        self.undone = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.begun: list[dict[str, Any]] = []

    async def attempts(self, **options: Any) -> AsyncIterator[AbstractAsyncContextManager["Work"]]:
        self.begun.append(options)
        for _ in range(self.undone):
            yield self._attempt(committed=False)
            self.meanwhile()
        yield self._attempt(committed=True)

    @asynccontextmanager
    async def _attempt(self, *, committed: bool) -> AsyncIterator["Work"]:
        self.database.pending, self.database.notified = [], []
        yield self
        if committed:
            self.database.written = [*self.database.written, *self.database.pending]


class Recording:
    """A recorder on a played database, and what it has told."""

    def __init__(self) -> None:
        self.database = Database()
        self.woken = 0
        self.work = Work(self.database)
        self.end = LogEnd()
        played: Any = self.work
        self.recorder = EventRecorder(
            played, EventLog(self.end, on_recorded=self._wake), limit=LIMIT, clock=lambda: NOW
        )

    def _wake(self) -> None:
        self.woken += 1

    async def record(self, *records: IncomingRecord) -> list[Any]:
        """Record a batch; returns what was logged."""
        with capture_logs() as logs:
            await self.recorder.record_events(records)
        return list(logs)

    async def held(self, *records: IncomingRecord) -> tuple[TransientError, list[Any]]:
        """Record a batch of which some is held back; returns what was raised and logged."""
        with capture_logs() as logs, pytest.raises(TransientError) as raised:
            await self.recorder.record_events(records)
        return raised.value, list(logs)


@pytest.fixture
def recording() -> Recording:
    return Recording()


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def poison(offset: int) -> IncomingRecord:
    return IncomingRecord("TransactionCompleted", 2, offset, None, b"x", {})


async def test_events_are_recorded_in_order_with_what_people_are_told(recording: Recording) -> None:
    records = incoming(3)
    events = [decode(record) for record in records]
    await recording.record(*records)
    assert [event for event, _ in recording.database.written] == events
    for event, notification in recording.database.written:
        assert notification == notification_of(event, notification_id=notification.id, created_at=NOW)
    assert len({notification.id for _, notification in recording.database.written}) == 3
    told = [notification for _, notification in recording.database.written]
    assert recording.database.notified == list(enumerate(told, 1))
    assert recording.woken == 1
    # It waits for no turn at the audit trail, and events that have come before begin one more attempt.
    assert recording.work.begun == [{"recorded": False, "duplicates": 1}]
    assert (recording.end.position, recording.end.is_alone) == (4, True)


async def test_what_comes_again_has_no_further_effect_and_is_counted(recording: Recording) -> None:
    records = incoming(3)
    await recording.record(*records[:2])
    recorded = value_of("bankctl_notifier_recorded_events_total", type="TransactionCompleted")
    again = value_of("bankctl_notifier_duplicate_events_total")
    assert len(await recording.record(*records)) == 1
    assert value_of("bankctl_notifier_duplicate_events_total") == again + 2
    assert value_of("bankctl_notifier_recorded_events_total", type="TransactionCompleted") == recorded + 1
    assert recording.woken == 2
    assert await recording.record(*records) == []
    assert recording.woken == 2, "nobody is woken for nothing"
    assert value_of("bankctl_notifier_duplicate_events_total") == again + 5


@pytest.mark.parametrize(("age", "seconds"), [(timedelta(seconds=7), 7.0), (timedelta(seconds=-7), 0.0)])
async def test_how_long_it_took_is_measured(recording: Recording, age: timedelta, seconds: float) -> None:
    """A clock that is behind makes no time negative."""
    before = (
        value_of("bankctl_notifier_record_seconds_sum"),
        value_of("bankctl_notifier_record_seconds_count"),
    )
    event_id = new_id()
    await recording.record(consumed(publishable(event_id, completed(event_id), time=NOW - age)))
    assert value_of("bankctl_notifier_record_seconds_sum") - before[0] == pytest.approx(seconds, abs=0.01)
    assert value_of("bankctl_notifier_record_seconds_count") == before[1] + 1


async def test_people_are_told_over_the_log(recording: Recording) -> None:
    first, second = new_id(), new_id()
    logs = await recording.record(
        consumed(publishable(first, completed(first))), consumed(publishable(second, failed(second)))
    )
    (_, told), (_, warned) = recording.database.written
    assert logs == [
        {
            "event": "notification",
            "log_level": level,
            "text": notification.text,
            "notification_id": str(notification.id),
            "event_id": str(event_id),
            "event_type": event_type,
            "account_ids": notification.account_ids,
        }
        for level, notification, event_id, event_type in (
            ("info", told, first, "TransactionCompleted"),
            ("warning", warned, second, "TransactionFailed"),
        )
    ]


class TestDeadLetters:
    async def test_what_cannot_be_read_is_set_aside_and_its_neighbours_pass(
        self, recording: Recording
    ) -> None:
        good = incoming(2)
        before = value_of("bankctl_notifier_dead_letters_total", topic="TransactionCompleted")
        logs = await recording.record(good[0], poison(5), good[1], poison(6))
        assert len(recording.database.written) == 2
        ((letters, limit, now),) = recording.database.kept
        assert [letter.record for letter in letters] == [poison(5), poison(6)]
        assert {letter.reason for letter in letters} == {"header ce_specversion is missing"}
        assert (limit, now) == (LIMIT, NOW)
        assert value_of("bankctl_notifier_dead_letters_total", topic="TransactionCompleted") == before + 2
        assert logs[2:] == [
            {
                "event": "record set aside as a dead letter",
                "log_level": "error",
                "topic": "TransactionCompleted",
                "partition": 2,
                "offset": offset,
                "reason": "header ce_specversion is missing",
            }
            for offset in (5, 6)
        ]
        assert value_of("bankctl_notifier_holds_for_dead_letters") == 0

    async def test_the_limit_holds_the_consumer_until_it_can_go_on(self, recording: Recording) -> None:
        recording.database.admitted = 1
        good = incoming(1)
        error, logs = await recording.held(good[0], poison(5), poison(6))
        assert [event for event, _ in recording.database.written] == [decode(good[0])]
        where = "TransactionCompleted, partition 2, offset 6: header ce_specversion is missing"
        assert error.code == "unavailable"
        assert error.message == (
            f"The limit of 3 dead letters is reached and the next record cannot be decoded either ({where}). "
            "Mend what writes or reads it: what is decodable then goes on by itself. "
            "To set more aside: `bankctl admin dead-letters resume --reason WHY`."
        )
        assert logs[-1] == {
            "event": "the limit of dead letters is reached, the consumer stands still",
            "log_level": "error",
            "record": where,
            "limit": 3,
        }
        assert value_of("bankctl_notifier_holds_for_dead_letters") == 1

        # It is said once, however often the records are given again.
        recording.database.admitted = 0
        _, logs = await recording.held(good[0], poison(6))
        assert logs == []
        recording.database.admitted = 9
        await recording.record(poison(6))
        assert value_of("bankctl_notifier_holds_for_dead_letters") == 0
        recording.database.admitted = 0
        _, logs = await recording.held(poison(7))
        assert [log["event"] for log in logs] == [
            "the limit of dead letters is reached, the consumer stands still"
        ]

    async def test_only_what_the_last_attempt_kept_counts(self, recording: Recording) -> None:
        """A transaction may run again."""
        counted = "bankctl_notifier_dead_letters_total"

        def close() -> None:
            recording.database.admitted = 0

        recording.work.undone, recording.work.meanwhile = 1, close
        before = value_of(counted, topic="TransactionCompleted")
        await recording.held(poison(5))
        assert len(recording.database.kept) == 2
        assert value_of(counted, topic="TransactionCompleted") == before


@pytest.mark.parametrize("fault", [DuplicateKeyError("planted"), OutcomeUnknownError("outcome_unknown", "?")])
async def test_what_may_not_have_been_recorded_may_be_given_again(
    recording: Recording, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def fail(_entries: Sequence[Entry]) -> Appended:
        raise fault

    monkeypatch.setattr(recording.database, "append", fail)
    with pytest.raises(TransientError, match="may not have been recorded") as raised:
        await recording.recorder.record_events(incoming(1))
    assert raised.value.code == "unavailable"
    assert recording.woken == 0


def test_the_end_of_the_log_is_known_while_nobody_else_writes() -> None:
    end, event = LogEnd(), decode(incoming(1)[0])
    entries = entries_of([event], now=NOW)
    end.committed(Appended(5, entries))
    assert (end.position, end.is_alone, end.is_doubted) == (6, True, False)
    end.committed(Appended(6, entries))
    assert (end.position, end.is_alone) == (7, True)
    end.refused()
    assert (end.is_alone, end.is_doubted) == (False, True)
    # Somebody else has written in between.
    end.committed(Appended(9, entries))
    assert (end.position, end.is_alone, end.is_doubted) == (10, False, False)
    end.committed(Appended(0, []))
    assert (end.position, end.is_alone) == (10, False)
