from decimal import Decimal

import pytest
from pydantic import ValidationError

from bankctl.local.service_keys import make_key
from daemons.banking_api.money import whole_minor
from daemons.banking_api.settings import BankingSettings
from daemons.shared.approvals.policy import FourEyesSettings, GuardedAct

ALWAYS = {"adjust", "reset_second_factor"}
EVERY_ACT = ALWAYS | {
    *("unfreeze", "fund", "change_role", "lock_staff", "unlock_staff", "withdraw", "reverse"),
}
PEER = {
    "PORT": "1",
    "MONGO_URI": "mongodb://127.0.0.1:1",
    "SERVICE_KEY": make_key(),
    "CHECKPOINT_KEY": make_key(),
    "KAFKA_BROKER": "127.0.0.1:9",
    "USER_API_URL": "http://127.0.0.1:1",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOUR_EYES_ACTIONS", "FOUR_EYES_LIMITS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in PEER.items():
        monkeypatch.setenv(name, value)


def guarded(policy: FourEyesSettings) -> set[str]:
    return {act.value for act in GuardedAct if policy.needs_approval(act)}


@pytest.mark.parametrize("actions", [None, "", " "])
def test_unless_it_is_said_every_act_takes_two(monkeypatch: pytest.MonkeyPatch, actions: str | None) -> None:
    if actions is not None:
        monkeypatch.setenv("FOUR_EYES_ACTIONS", actions)
    policy = BankingSettings()
    assert guarded(policy) == EVERY_ACT
    codes = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "KWD")
    limits = {code: policy.alone_limit(GuardedAct.FUND, code) for code in codes}
    assert {policy.alone_limit(GuardedAct.ADJUST, code) for code in codes} == {0}
    assert limits == {"EUR": 1000, "USD": 1000, "GBP": 1000, "CHF": 1000, "JPY": 150_000, "SEK": 0, "KWD": 0}


def test_adjustments_take_two_whatever_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUR_EYES_ACTIONS", "none")
    policy = BankingSettings()
    assert guarded(policy) == ALWAYS
    assert policy.alone_limit(GuardedAct.FUND, "SEK") is None


def test_the_policy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUR_EYES_ACTIONS", "unfreeze, fund")
    monkeypatch.setenv("FOUR_EYES_LIMITS", "EUR=1000.50, JPY=9")
    policy = BankingSettings()
    assert guarded(policy) == ALWAYS | {"unfreeze", "fund"}
    assert policy.alone_limit(GuardedAct.FUND, "EUR") == Decimal("1000.50")
    assert policy.alone_limit(GuardedAct.FUND, "JPY") == 9
    assert policy.alone_limit(GuardedAct.FUND, "USD") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"four_eyes_actions": "unfreeze,everything"},
        {"four_eyes_actions": "none,fund"},
        *(
            {"four_eyes_limits": limits}
            for limits in ("1000", "EUR=-1", "EUR=1000,EUR=2000", "eur=1", "EUR=1e9", "EUR=NaN", "EURO=1")
        ),
    ],
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, str]) -> None:
    told = (
        "Input should be" if "four_eyes_actions" in wrong else "separated by commas, each currency once; not"
    )
    with pytest.raises(ValidationError, match=told):
        FourEyesSettings.model_validate(wrong)


def test_a_limit_in_what_is_no_currency_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUR_EYES_LIMITS", "XXX=1")
    with pytest.raises(ValidationError, match="XXX"):
        BankingSettings()


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("1000", "EUR", 100_000), ("0.019", "EUR", 1), ("150000", "JPY", 150_000), ("1.5", "KWD", 1500)],
)
def test_a_limit_counts_in_the_units_of_its_currency(amount: str, currency: str, minor: int) -> None:
    assert whole_minor(Decimal(amount), currency) == minor
