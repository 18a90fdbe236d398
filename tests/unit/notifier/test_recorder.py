"""The effect of a batch: what is recorded, told and set aside, and when the consumer stands still."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from daemons.contracts.errors import TransientError
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.dead_letter import DeadLetter, DeadLetterLimit
from daemons.notifier.dead_letters.storage import Kept
from daemons.notifier.event_log.decoding import decode
from daemons.notifier.event_log.storage import Alongside, Entry
from daemons.notifier.notifications.notification import notification_of
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Session
from tests.support.events import completed, consumed, failed, incoming, publishable

NOW = utc_now()
LIMIT = DeadLetterLimit(3, timedelta(hours=1))
SESSION = cast("Session", object())


class Database:
    """Plays the log, which writes each event once, and the dead letters, of which so many are admitted."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.appended: list[list[UUID]] = []
        self.kept: list[tuple[list[DeadLetter], DeadLetterLimit, datetime]] = []
        self.admitted = 9
        self.with_letters: list[bool] = []

    async def append(self, entries: Sequence[Entry], *, alongside: Alongside | None = None) -> list[Entry]:
        self.appended.append([event.id for event, _ in entries])
        self.with_letters.append(alongside is not None)
        known = {event.id for event, _ in self.written}
        fresh = [entry for entry in entries if entry[0].id not in known]
        self.written += fresh
        if alongside is not None:
            await alongside(fresh, SESSION)
        return fresh

    async def keep(
        self, letters: Sequence[DeadLetter], *, limit: DeadLetterLimit, now: datetime, session: Session
    ) -> Kept:
        assert session is SESSION
        self.kept.append((list(letters), limit, now))
        return Kept(letters[: self.admitted], letters[self.admitted :])


class Recording:
    """A recorder on a played database, and what it has told."""

    def __init__(self) -> None:
        self.database = Database()
        self.woken = 0
        played: Any = self.database
        self.recorder = EventRecorder(played, played, limit=LIMIT, on_recorded=self._wake, clock=lambda: NOW)

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
    assert (recording.woken, recording.database.with_letters) == (1, [False])


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

    async def test_only_what_the_last_try_kept_counts(self, recording: Recording) -> None:
        """A transaction may run again."""
        database, counted = recording.database, "bankctl_notifier_dead_letters_total"
        append = database.append

        async def append_twice(
            entries: Sequence[Entry], *, alongside: Alongside | None = None
        ) -> list[Entry]:
            assert alongside is not None
            await alongside([], SESSION)
            database.admitted = 0
            return await append(entries, alongside=alongside)

        database.append = append_twice  # type: ignore[method-assign]
        before = value_of(counted, topic="TransactionCompleted")
        await recording.held(poison(5))
        assert value_of(counted, topic="TransactionCompleted") == before


async def test_events_that_are_given_decoded_are_recorded_as_well(recording: Recording) -> None:
    """As a dead letter is that somebody replays."""
    event = decode(incoming(1)[0])
    seen: list[Sequence[Entry]] = []

    async def alongside(written: Sequence[Entry], session: Session) -> None:
        assert session is SESSION
        seen.append(written)

    await recording.recorder.record([event], now=NOW, alongside=alongside)
    await recording.recorder.record([replace(event, key="other")], now=NOW, alongside=alongside)
    assert [[one.key for one, _ in written] for written in seen] == [[event.key], []]
    assert recording.woken == 1
