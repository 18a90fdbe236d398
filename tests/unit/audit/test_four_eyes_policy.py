from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError

from bankctl.local.service_keys import make_key
from daemons.banking_api.money import whole_minor
from daemons.banking_api.settings import BankingSettings
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.settings import load_settings

ALWAYS = {GuardedAct.ADJUST, GuardedAct.RESET_SECOND_FACTOR, GuardedAct.ERASE_USER}
EVERY_ACT = set(GuardedAct)
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
    monkeypatch.delenv("STAFF_POLICY", raising=False)
    for name, value in PEER.items():
        monkeypatch.setenv(name, value)


def guarded(policy: StaffPolicy) -> set[str]:
    return {act.value for act in GuardedAct if policy.needs_approval(act)}


@pytest.mark.parametrize("given", [None, "", " "])
def test_unless_it_is_said_every_act_takes_two(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    if given is not None:
        monkeypatch.setenv("STAFF_POLICY", given)
    policy = BankingSettings().staff_policy
    assert guarded(policy) == EVERY_ACT
    codes = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "KWD")
    limits = {code: policy.alone_limit(GuardedAct.FUND, code) for code in codes}
    assert {policy.alone_limit(GuardedAct.ADJUST, code) for code in codes} == {0}
    assert limits == {"EUR": 1000, "USD": 1000, "GBP": 1000, "CHF": 1000, "JPY": 150_000, "SEK": 0, "KWD": 0}
    assert policy.grant_days == 30


def test_adjustments_take_two_whatever_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAFF_POLICY", "none")
    policy = BankingSettings().staff_policy
    assert guarded(policy) == ALWAYS
    assert policy.alone_limit(GuardedAct.FUND, "SEK") is None


def written(folder: Path, text: str) -> str:
    path = folder / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_policy_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = """
        grant_days = 7
        [acts.fund]
        approval = "beyond"
        alone = { EUR = 1000.10, JPY = 9 }
        at_most = { EUR = "5000" }
        [acts.unfreeze]
        approval = "never"
    """
    monkeypatch.setenv("STAFF_POLICY", written(tmp_path, text))
    policy = BankingSettings().staff_policy
    assert guarded(policy) == EVERY_ACT - {"unfreeze"}
    assert policy.alone_limit(GuardedAct.FUND, "EUR") == Decimal("1000.10")
    assert policy.alone_limit(GuardedAct.FUND, "JPY") == 9
    assert policy.alone_limit(GuardedAct.FUND, "USD") == 0
    assert (policy.most(GuardedAct.FUND, "EUR"), policy.most(GuardedAct.FUND, "USD")) == (5000, None)
    # What it leaves out is as it is without a file.
    assert policy.alone_limit(GuardedAct.WITHDRAW, "USD") == 1000
    assert policy.grant_days == 7


@pytest.mark.parametrize(
    ("text", "variable", "told"),
    [
        ("grant_days = -1", "STAFF_POLICY.grant_days", "greater than or equal to 0"),
        ("grant_dayz = 1", "STAFF_POLICY.grant_dayz", "Extra inputs"),
        ("[acts.everything]", "STAFF_POLICY.acts.everything", "Input should be"),
        (
            '[acts.fund]\napproval = "often"',
            "STAFF_POLICY.acts.fund.approval",
            "'beyond' or 'never'",
        ),
        ('[acts.adjust]\napproval = "never"', "STAFF_POLICY", "acts.adjust: two people adjust"),
        ('[acts.reverse]\napproval = "beyond"', "STAFF_POLICY", "acts.reverse: nobody does some of it alone"),
        ("[acts.fund]\nalone = { EUR = 1 }", "STAFF_POLICY", "`alone` needs approval = 'beyond'"),
        ("[acts.unfreeze]\nat_most = { EUR = 1 }", "STAFF_POLICY", "acts.unfreeze: `at_most` has a meaning"),
        (
            "[acts.fund]\nat_most = { EUR = -1 }",
            "STAFF_POLICY.acts.fund.at_most.EUR",
            "greater than or equal",
        ),
        ("[acts.fund]\nat_most = { EUR = nan }", "STAFF_POLICY.acts.fund.at_most.EUR", "finite number"),
        ("[acts.fund]\nat_most = { euro = 1 }", "STAFF_POLICY.acts.fund.at_most.euro", "match pattern"),
        ("[acts.fund]\nat_most = { XXX = 1 }", "", "no account can be kept in XXX"),
        ("acts = 1", "STAFF_POLICY.acts", "valid dictionary"),
        ("[acts", "STAFF_POLICY", "is not TOML"),
    ],
)
def test_a_daemon_does_not_start_with_a_policy_that_means_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    variable: str,
    told: str,
) -> None:
    monkeypatch.setenv("STAFF_POLICY", written(tmp_path, text))
    with pytest.raises(SystemExit):
        load_settings(BankingSettings)
    [fault] = [line for line in capsys.readouterr().err.splitlines() if told in line]
    assert fault.strip().startswith(variable)


def test_a_policy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = tmp_path / "away.toml"
    monkeypatch.setenv("STAFF_POLICY", str(missing))
    with pytest.raises(ValidationError, match=f"cannot read {missing}: No such file"):
        BankingSettings()


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("1000", "EUR", 100_000), ("0.019", "EUR", 1), ("150000", "JPY", 150_000), ("1.5", "KWD", 1500)],
)
def test_a_limit_counts_in_the_units_of_its_currency(amount: str, currency: str, minor: int) -> None:
    assert whole_minor(Decimal(amount), currency) == minor
