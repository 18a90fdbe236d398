from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from daemons.user_api.attempts.backoff import BackOff

RULE = BackOff(free_failures=3, longest_pause=timedelta(seconds=10))


def test_some_failures_are_free_then_each_doubles_the_pause_to_a_bound() -> None:
    pauses = [RULE.pause_after(failures).total_seconds() for failures in range(10)]
    assert pauses == [0, 0, 0, 0, 1, 2, 4, 8, 10, 10]


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=1, max_value=1000))
def test_no_number_of_failures_keeps_anybody_out_for_good(failures: int, free: int) -> None:
    rule = BackOff(free_failures=free, longest_pause=timedelta(minutes=5))
    assert timedelta(0) <= rule.pause_after(failures) <= rule.longest_pause
    assert rule.pause_after(failures) <= rule.pause_after(failures + 1)
    assert rule.pause_after(max(failures, rule.failures_of_interest)) == rule.longest_pause
