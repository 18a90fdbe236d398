"""How many like events are recorded, and that none is forgotten."""

from datetime import UTC, datetime, timedelta

import pytest

from daemons.shared.audit.budget import RecordBudget


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spent(budget: RecordBudget, kind: str) -> int | None:
    with budget.spend(kind) as left_out:
        return left_out


def test_the_first_of_a_kind_in_a_minute_is_recorded(clock: Clock) -> None:
    budget = RecordBudget(per_minute=10, clock=clock)
    assert [spent(budget, kind) for kind in "aabab"] == [0, None, 1, None, None]
    clock.pass_seconds(59)
    assert spent(budget, "a") is None
    clock.pass_seconds(1)
    assert [spent(budget, kind) for kind in "ab"] == [3, 0]


def test_of_all_kinds_so_many_a_minute_are_recorded(clock: Clock) -> None:
    budget = RecordBudget(per_minute=3, clock=clock)
    assert [spent(budget, str(number)) for number in range(9)] == [0, 0, 0, *[None] * 6]
    clock.pass_seconds(60)
    assert [spent(budget, str(number)) for number in range(4)] == [6, 0, 0, None]


def test_what_could_not_be_written_is_not_spent_and_is_counted(clock: Clock) -> None:
    budget = RecordBudget(per_minute=3, clock=clock)
    assert [spent(budget, "a"), spent(budget, "a")] == [0, None]
    with pytest.raises(OSError, match="1 left out, and gone"), budget.spend("b") as left_out:
        raise OSError(f"{left_out} left out, and gone")
    assert spent(budget, "b") == 2
