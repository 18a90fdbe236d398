"""Dead letters: what a letter is known by, and how many may be set aside."""

from datetime import datetime, timedelta
from hashlib import sha256

import pytest

from daemons.notifier.dead_letters.dead_letter import DeadLetter, DeadLetterLimit, Intake
from daemons.shared.clock import utc_now
from daemons.shared.kafka.records import IncomingRecord

LIMIT = DeadLetterLimit(letters=3, window=timedelta(hours=1))
NOW = utc_now()


def letter(
    *,
    topic: str = "t",
    partition: int = 1,
    offset: int = 2,
    key: bytes | None = b"k",
    value: bytes | None = b"v",
    headers: dict[str, bytes] | None = None,
    reason: str = "why",
) -> DeadLetter:
    record = IncomingRecord(topic, partition, offset, key, value, {"a": b"1"} if headers is None else headers)
    return DeadLetter(record, reason)


class TestIdentity:
    def test_the_same_record_is_the_same_letter_whatever_its_reason(self) -> None:
        two = {"a": b"1", "b": b"2"}
        assert letter().identity == letter(reason="another").identity
        assert letter(headers=two).identity == letter(headers=dict(reversed(two.items()))).identity
        assert letter().place == ("t", 1, 2)
        assert letter().identity[:3] == ("t", 1, 2)
        assert len(letter().identity[3]) == 32

    def test_any_other_record_is_another_letter(self) -> None:
        records = [
            letter(),
            letter(topic="u"),
            letter(partition=2),
            letter(offset=3),
            letter(key=None),
            letter(key=b""),
            letter(key=b"-"),
            letter(value=None),
            letter(value=b""),
            letter(value=b"-"),
            letter(key=b"kv", value=b""),
            letter(key=b"", value=b"kv"),
            letter(key=None, value=None),
            letter(headers={}),
            letter(headers={"a": b"2"}),
            letter(headers={"a1": b""}),
            letter(headers={"": b"a1"}),
            letter(headers={"a": b"1", "b": b""}),
            letter(headers={"\ud800": b""}),
            letter(headers={"\ud801": b""}),
        ]
        assert len({one.identity for one in records}) == len(records)

    def test_letters_stay_known_by_the_same_digest(self) -> None:
        """It is kept with them: another one would set every letter aside once more."""
        assert letter().identity[3] == sha256(b"1:k1:v1:a1:1").digest()
        assert letter(key=None, headers={}).identity[3] == sha256(b"-1:v").digest()


class TestIntake:
    def test_a_limit_admits_so_many_and_closes(self) -> None:
        intake, admitted = Intake().admit(2, limit=LIMIT, now=NOW)
        assert (intake, admitted) == (Intake(since=NOW, kept=2), 2)
        later = NOW + timedelta(minutes=1)
        full, admitted = intake.admit(1, limit=LIMIT, now=later)
        assert (full, admitted) == (Intake(since=NOW, kept=3), 1)
        closed, admitted = full.admit(1, limit=LIMIT, now=later)
        assert (closed, admitted) == (Intake(since=NOW, kept=3, closed_at=later), 0)

    def test_what_does_not_fit_is_held_back(self) -> None:
        intake, admitted = Intake(since=NOW, kept=1).admit(5, limit=LIMIT, now=NOW)
        assert (intake, admitted) == (Intake(since=NOW, kept=3, closed_at=NOW), 2)

    def test_a_limit_that_was_lowered_admits_none(self) -> None:
        intake, admitted = Intake(since=NOW, kept=7).admit(1, limit=LIMIT, now=NOW)
        assert (intake, admitted) == (Intake(since=NOW, kept=7, closed_at=NOW), 0)

    @pytest.mark.parametrize(
        ("after", "since", "kept"),
        [
            (timedelta(minutes=59, seconds=59), NOW, 3),
            (timedelta(hours=1), NOW + timedelta(hours=1), 1),
            (timedelta(days=9), NOW + timedelta(days=9), 1),
        ],
    )
    def test_counting_begins_anew_when_the_window_has_passed(
        self, after: timedelta, since: datetime, kept: int
    ) -> None:
        intake, admitted = Intake(since=NOW, kept=2).admit(1, limit=LIMIT, now=NOW + after)
        assert (intake, admitted) == (Intake(since=since, kept=kept), 1)

    def test_once_closed_it_stays_closed_whatever_time_passes(self) -> None:
        closed = Intake(since=NOW, kept=3, closed_at=NOW, closed_by="one")
        assert closed.admit(1, limit=LIMIT, now=NOW + timedelta(days=9)) == (closed, 0)

    def test_what_else_is_known_is_kept(self) -> None:
        known = Intake(closed_by="one", reopened={"by": "somebody"})
        intake, _ = known.admit(0, limit=LIMIT, now=NOW)
        assert intake == Intake(since=NOW, closed_by="one", reopened={"by": "somebody"})
