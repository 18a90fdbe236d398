"""What a bucket lets in, whatever comes in between, and how much is remembered."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemons.contracts.permissions import Role
from daemons.shared.auth.callers import Caller
from daemons.shared.http.rates import Buckets, Rate, RateLimits, RowLimit, TooManyRequestsError
from daemons.shared.settings import DaemonSettings


@dataclass
class MovableSeconds:
    """A clock that stands until it is moved."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def settings(**given_settings: float) -> DaemonSettings:
    return DaemonSettings(mongo_uri="m", port=1, **given_settings)  # type: ignore[arg-type]


def test_a_burst_is_let_in_and_then_what_the_rate_says() -> None:
    clock = MovableSeconds()
    buckets = Buckets(Rate(per_second=4, burst=3), monotonic=clock)
    assert [buckets.take("ann") for _ in range(3)] == [0, 0, 0]
    assert buckets.take("ann") == pytest.approx(0.25)
    clock.now += 0.25
    assert [buckets.take("ann") for _ in range(2)] == [0, pytest.approx(0.25)]
    clock.now += 1000
    assert [bool(buckets.take("ann")) for _ in range(4)] == [False, False, False, True]


@given(
    st.lists(
        st.tuples(st.integers(min_value=0, max_value=30), st.integers(min_value=0, max_value=20)),
        max_size=200,
    )
)
def test_nobody_gets_more_by_others_coming_and_going(steps: list[tuple[int, int]]) -> None:
    clock = MovableSeconds()
    rate = Rate(per_second=1, burst=5)
    crowded, alone = Buckets(rate, monotonic=clock), {}
    for passed_tenths, who in steps:
        clock.now += passed_tenths / 10
        own = alone.setdefault(who, Buckets(rate, monotonic=clock))
        assert crowded.take(who) == pytest.approx(own.take(who))


def test_memory_stays_bounded_however_many_come() -> None:
    clock = MovableSeconds()
    buckets = Buckets(Rate(per_second=1, burst=5), monotonic=clock, remembered=100)
    most = 0
    for number in range(10_000):
        buckets.take(number)
        most = max(most, len(buckets))
    assert 100 <= most <= 200


def test_who_has_been_quiet_is_forgotten() -> None:
    clock = MovableSeconds()
    buckets = Buckets(Rate(per_second=1, burst=5), monotonic=clock)
    for number in range(1000):
        buckets.take(number)
    for who in ("ann", "bo"):
        clock.now += 6
        buckets.take(who)
    assert len(buckets) == 2


def test_who_has_used_up_a_bucket_gains_nothing_by_what_is_forgotten() -> None:
    clock = MovableSeconds()
    rate = Rate(per_second=1, burst=5)
    by_time, by_number = (Buckets(rate, monotonic=clock, remembered=3) for _ in range(2))
    clock.now += 4.9
    for _ in range(5):
        assert (by_time.take("ann"), by_number.take("ann")) == (0, 0)
    # The first is old now and makes room; the second is full of others, and makes room as well.
    clock.now += 0.2
    by_time.take("bo")
    for other in range(3):
        by_number.take(other)
    assert by_time.take("ann") > 0
    assert by_number.take("ann") > 0
    clock.now += 1
    assert (by_time.take("ann"), by_number.take("ann")) == (0, 0)
    assert (by_time.take("ann") > 0, by_number.take("ann") > 0) == (True, True)


def test_addresses_of_one_subscriber_share_a_bucket_and_others_do_not() -> None:
    rate = Rate(per_second=1, burst=1)
    limits = RateLimits(callers=rate, addresses=rate, monotonic=MovableSeconds())
    limits.admit_address("2001:db8:1:2::1")
    limits.admit_address("2001:db8:1:3::1")
    with pytest.raises(TooManyRequestsError) as refused:
        limits.admit_address("2001:db8:1:2::ffff")
    assert refused.value.headers["RateLimit-Policy"] == '"address";q=1;w=1'


def test_the_settings_name_the_rates_and_refuse_what_is_none() -> None:
    assert (settings().caller_rate, settings().address_rate) == (Rate(500, 1000), Rate(100, 1000))
    for name, bad in {
        "caller_requests_per_second": -1,
        "address_requests_per_second": float("inf"),
        "caller_requests_burst": 0,
    }.items():
        with pytest.raises(ValidationError, match=name):
            settings(**{name: bad})


def test_who_is_refused_learns_how_much_is_let_in_and_when() -> None:
    clock = MovableSeconds()
    rate = Rate(per_second=0.4, burst=3)
    limits = RateLimits(callers=rate, addresses=rate, monotonic=clock)
    rows = RowLimit(rate, largest=3, monotonic=clock)
    caller = Caller(uuid4(), uuid4(), Role.USER, "Ann")
    for _ in range(3):
        limits.admit_caller(caller)
        limits.admit_address("192.0.2.1")
    rows.admit(caller, 3)
    attempts: list[tuple[str, str, Callable[[], None]]] = [
        ("caller", "requests", lambda: limits.admit_caller(caller)),
        ("address", "requests", lambda: limits.admit_address("192.0.2.1")),
        ("caller", "rows", lambda: rows.admit(caller, 1)),
    ]
    for refused_as, counted, admit in attempts:
        with pytest.raises(TooManyRequestsError) as refused:
            admit()
        assert (refused.value.code, refused.value.retry_after_seconds) == ("rate_limited", 3)
        told = f"one {refused_as} may send 3 at once and 0.4 a second after that; go on in 3 s."
        assert refused.value.message == f"Too many {counted}: {told}"
        assert refused.value.headers == {
            "RateLimit-Policy": f'"{refused_as}";q=3;w=8',
            "RateLimit": f'"{refused_as}";r=0;t=3',
        }


def test_each_caller_and_each_address_has_a_bucket_of_its_own() -> None:
    rate = Rate(per_second=1, burst=1)
    limits = RateLimits(callers=rate, addresses=rate, monotonic=MovableSeconds())
    rows = RowLimit(rate, largest=1, monotonic=MovableSeconds())
    for number in range(3):
        caller = Caller(uuid4(), uuid4(), Role.USER, "Ann")
        limits.admit_caller(caller)
        rows.admit(caller, 1)
        limits.admit_address(f"192.0.2.{number}")


def test_time_is_taken_from_the_clock_that_was_given() -> None:
    clock = MovableSeconds()
    rate = Rate(per_second=1, burst=1)
    limits = RateLimits(callers=rate, addresses=rate, monotonic=clock)
    caller = Caller(uuid4(), uuid4(), Role.USER, "Ann")
    for _ in range(3):
        limits.admit_caller(caller)
        limits.admit_address("192.0.2.1")
        clock.now += 1


def test_rows_that_are_owed_are_not_forgotten_either() -> None:
    clock = MovableSeconds()
    limit = RowLimit(Rate(per_second=8, burst=100), largest=400, monotonic=clock)
    ann = Caller(uuid4(), uuid4(), Role.USER, "Ann")
    limit.admit(ann, 400)
    for passed in (12.75, 12.75):
        clock.now += passed
        limit.admit(Caller(uuid4(), uuid4(), Role.USER, "Bo"), 1)
    with pytest.raises(TooManyRequestsError):
        limit.admit(ann, 1)


def test_no_rate_is_no_limit() -> None:
    none = Rate(per_second=0, burst=1)
    limits = RateLimits(callers=none, addresses=none, monotonic=MovableSeconds())
    for _ in range(100):
        limits.admit_address("192.0.2.1")


def test_what_costs_more_than_there_is_is_let_in_and_waited_for_afterwards() -> None:
    clock = MovableSeconds()
    buckets = Buckets(Rate(per_second=8, burst=100), monotonic=clock, largest_cost=400)
    assert buckets.take("ann", 99) == 0
    assert buckets.take("ann", 400) == 0
    # It owes 399, and one more is asked for.
    assert buckets.take("ann", 1) == 50.0
    assert buckets.take("bo", 100) == 0
    clock.now += 50.0
    assert buckets.take("ann", 1) == 0
    assert buckets.take("ann", 1) == 0.125


def test_debts_are_not_forgotten_with_those_who_are_quiet() -> None:
    clock = MovableSeconds()
    buckets = Buckets(Rate(per_second=8, burst=100), monotonic=clock, largest_cost=400)
    assert buckets.take("ann", 400) == 0
    # Full buckets would be forgotten twice by then.
    for passed in (12.75, 12.75):
        clock.now += passed
        buckets.take("bo")
    assert buckets.take("ann") == 50.0 - 12.375 - 25.5


def test_rows_count_for_the_user_or_the_key() -> None:
    clock = MovableSeconds()
    limit = RowLimit(Rate(per_second=100, burst=500), largest=4000, monotonic=clock)
    user, key = uuid4(), uuid4()
    at_home = Caller(user, uuid4(), Role.USER, "Ann")
    elsewhere = Caller(user, uuid4(), Role.USER, "Ann")
    by_key = Caller(user, key, Role.USER, "Ann", key_digest="d")
    limit.admit(at_home, 500)
    with pytest.raises(TooManyRequestsError) as refused:
        limit.admit(elsewhere, 1)
    assert refused.value.retry_after_seconds == 1
    assert "Too many rows" in refused.value.message
    limit.admit(by_key, 4000)
    clock.now += 0.01
    limit.admit(elsewhere, 1)
    RowLimit(Rate(per_second=0, burst=1), largest=1).admit(elsewhere, 1_000_000)
