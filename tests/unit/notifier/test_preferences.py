"""What users hear of, by their preferences."""

from datetime import UTC, datetime, time
from decimal import Decimal
from uuid import uuid4

import pytest

from daemons.contracts.names import Language, NoticeType
from daemons.contracts.wire import MoneyView
from daemons.notifier.messages.event_values import money_text, values_of
from daemons.notifier.preferences.notices import Notice, notices_in
from daemons.notifier.preferences.preferences import Preferences, QuietHours
from tests.support.events import ANN, ANNS_ACCOUNT, BO, BOS_ACCOUNT, MONEY, changed, completed, failed, funded


def test_who_pays_and_who_gets_are_told_and_nobody_twice() -> None:
    assert notices_in(completed(uuid4())) == [
        Notice(ANN.user_id, NoticeType.MONEY_OUT, ANNS_ACCOUNT, MONEY),
        Notice(BO.user_id, NoticeType.MONEY_IN, BOS_ACCOUNT, MONEY),
    ]
    assert [one.type for one in notices_in(funded(uuid4()))] == [NoticeType.MONEY_IN]
    assert notices_in(failed(uuid4())) == [Notice(ANN.user_id, NoticeType.REFUSED, ANNS_ACCOUNT, MONEY)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("opened", NoticeType.ACCOUNT_CHANGED),
        ("frozen", NoticeType.SECURITY),
        ("closed", NoticeType.SECURITY),
    ],
)
def test_a_frozen_or_closed_account_is_a_matter_of_security(change: str, expected: NoticeType) -> None:
    assert [one.type for one in notices_in(changed(change))] == [expected]  # type: ignore[arg-type]


def test_security_goes_out_whatever_the_preferences_say() -> None:
    silent = Preferences(events=frozenset(), channels=frozenset())
    assert silent.channels_for(NoticeType.SECURITY, None) == {"email"}
    assert silent.channels_for(NoticeType.MONEY_IN, MONEY) == set()


@pytest.mark.parametrize(("amount", "told"), [("99.99", False), ("100.00", True), ("100.01", True)])
def test_payments_below_the_threshold_of_their_currency_are_not_told_of(amount: str, *, told: bool) -> None:
    wants = Preferences(events=frozenset({NoticeType.MONEY_IN}), thresholds={"EUR": Decimal(100)})
    assert bool(wants.channels_for(NoticeType.MONEY_IN, MoneyView(amount=amount, currency="EUR"))) is told
    assert wants.channels_for(NoticeType.MONEY_IN, MoneyView(amount="0.01", currency="USD"))


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-07-01T19:59Z", None),
        ("2026-07-01T20:00Z", "2026-07-02T05:00Z"),
        ("2026-07-02T04:59Z", "2026-07-02T05:00Z"),
        ("2026-07-02T05:00Z", None),
        # In winter the same hours by the clock are other hours in UTC.
        ("2026-12-01T21:00Z", "2026-12-02T06:00Z"),
    ],
)
def test_quiet_hours_are_by_the_users_clock_and_may_pass_midnight(now: str, until: str | None) -> None:
    wants = Preferences(quiet_hours=QuietHours(time(22), time(7)), zone="Europe/Prague")
    expected = None if until is None else datetime.fromisoformat(until)
    assert wants.quiet_until(datetime.fromisoformat(now)) == expected


def test_quiet_hours_within_a_day() -> None:
    hours = Preferences(quiet_hours=QuietHours(time(12), time(13)))
    assert hours.quiet_until(datetime(2026, 7, 1, 12, 30, tzinfo=UTC)) == datetime(2026, 7, 1, 13, tzinfo=UTC)
    assert hours.quiet_until(datetime(2026, 7, 1, 13, 0, tzinfo=UTC)) is None


def test_amounts_and_times_are_written_as_people_of_the_language_do() -> None:
    amount = MoneyView(amount="1234567.80", currency="CZK")
    assert money_text(amount, Language.ENGLISH) == "1,234,567.80\u00a0CZK"
    assert money_text(amount, Language.CZECH) == "1\u00a0234\u00a0567,80\u00a0CZK"
    [_, to_bo] = notices_in(completed(uuid4()))
    values = values_of(to_bo, completed(uuid4()), Preferences(zone="Europe/Prague"))
    assert values["other"] == f"Ann Berg ({ANNS_ACCOUNT})"
    assert values["time"].endswith("(Europe/Prague)")
