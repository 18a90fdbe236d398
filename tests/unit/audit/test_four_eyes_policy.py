from decimal import Decimal

import pytest
from pydantic import ValidationError

from bankctl.local.service_keys import make_key
from daemons.banking_api.settings import BankingSettings
from daemons.shared.approvals.policy import FourEyesSettings, GuardedAct


def test_by_default_one_person_is_enough_but_for_adjustments() -> None:
    policy = FourEyesSettings()
    alone = [act for act in GuardedAct if not policy.needs_second_person(act, amount=Decimal(10**9))]
    assert alone == [GuardedAct.UNFREEZE, GuardedAct.FUND, GuardedAct.GRANT_ADMIN]


def test_the_policy_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "1",
        "MONGO_URI": "mongodb://127.0.0.1:1",
        "SERVICE_KEY": make_key(),
        "KAFKA_BROKER": "127.0.0.1:9",
        "USER_API_URL": "http://127.0.0.1:1",
        "FOUR_EYES_ACTIONS": "unfreeze, fund",
        "FOUR_EYES_FUND_THRESHOLD": "1000.50",
    }.items():
        monkeypatch.setenv(name, value)
    policy = BankingSettings()
    assert policy.needs_second_person(GuardedAct.UNFREEZE)
    assert not policy.needs_second_person(GuardedAct.GRANT_ADMIN)
    assert not policy.needs_second_person(GuardedAct.FUND, amount=Decimal("1000.50"))
    assert policy.needs_second_person(GuardedAct.FUND, amount=Decimal("1000.51"))


@pytest.mark.parametrize(
    "wrong", [{"four_eyes_actions": "unfreeze,everything"}, {"four_eyes_fund_threshold": "-1"}]
)
def test_a_policy_that_means_nothing_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        FourEyesSettings.model_validate(wrong)
