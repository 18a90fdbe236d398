"""When rows were paid, as it is told to a person: any time that a peer may send is shown."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bankctl.payments.survey import times_text


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_of_another_day_has_its_date() -> None:
    assert times_text(["2026-11-24T18:26:03Z"]) == "at 2026-11-24 18:26"


def test_several_times_are_told_as_a_span() -> None:
    times = ["2026-11-24T18:26:03Z", "2026-11-24T18:27:00Z", "2026-11-25T09:00:00Z"]
    assert times_text(times) == "between 2026-11-24 18:26 and 2026-11-25 09:00"


def test_a_time_of_today_needs_no_date() -> None:
    noon = datetime.now(UTC).replace(hour=12, minute=5)
    assert times_text([noon.isoformat()]) == "at 12:05"
    yesterday = noon - timedelta(days=1)
    assert times_text([yesterday.isoformat()]) == f"at {yesterday:%Y-%m-%d} 12:05"


@pytest.mark.parametrize("odd", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "soon", ""])
def test_a_time_that_this_zone_cannot_express_is_told_as_it_came(odd: str) -> None:
    assert times_text([odd]) == f"at {odd}"


def test_no_time_is_told_as_such() -> None:
    assert times_text([]) == "before"
