"""compose.yaml starts its servers as the local stack does, where that matters for the ledger."""

from pathlib import Path

import pytest
import yaml

from bankctl.local.mongod import WRITE_BACK
from daemons.banking_api.settings import BankingSettings
from daemons.notifier.settings import NotifierSettings
from daemons.shared.approvals.policy import GuardedAct, StaffPolicySettings
from daemons.user_api.settings import UserApiSettings
from tests.support.compose_kafka import service_environment

COMPOSE = Path(__file__).parents[2] / "compose.yaml"


def policy_of(daemon: str) -> str:
    """The file on this machine that compose.yaml mounts where the daemon is told to look."""
    named = service_environment(daemon)["STAFF_POLICY"]
    service = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][daemon]
    [mounted] = [volume for volume in service["volumes"] if volume.split(":")[1] == named]
    return str(COMPOSE.parent / mounted.split(":")[0])


@pytest.mark.parametrize("daemon", ["user_api", "banking_api"])
def test_everything_that_can_wait_for_a_second_person_does(daemon: str) -> None:
    policy = StaffPolicySettings.model_validate({"staff_policy": policy_of(daemon)}).staff_policy
    assert set(policy.acts) == {act for act in GuardedAct if policy.needs_approval(act)} == set(GuardedAct)
    assert policy.alone_limit(GuardedAct.FUND, "EUR") == 1000
    assert policy.alone_limit(GuardedAct.FUND, "SEK") == 0


@pytest.mark.parametrize("daemon", ["user_api", "banking_api", "notifier"])
def test_each_daemon_starts_with_what_it_is_given_and_has_no_secret_of_another(daemon: str) -> None:
    given = dict(service_environment(daemon))
    settings = {"user_api": UserApiSettings, "banking_api": BankingSettings, "notifier": NotifierSettings}
    fields = settings[daemon].model_fields
    given["STAFF_POLICY"] = policy_of(daemon)
    settings[daemon].model_validate({name: given[name.upper()] for name in fields if name.upper() in given})
    of_others = {
        secret
        for other in settings
        if other != daemon
        for name, secret in service_environment(other).items()
        if name in {"JWT_SECRET", "SERVICE_KEY", "CHECKPOINT_KEY", "MONGO_URI", "KAFKA_PASSWORD"}
    }
    assert not [value for value in given.values() if value in of_others]


@pytest.mark.parametrize("member", ["mongo1", "mongo2", "mongo3"])
def test_each_mongod_writes_pages_back_as_the_local_one_does(member: str) -> None:
    command = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"][member]["command"]

    assert "=".join(WRITE_BACK) in command


def test_addresses_are_confirmed_and_the_notifier_has_a_relay_for_the_mail() -> None:
    assert service_environment("user_api")["REGISTRATION_CONFIRMED"] == "required"
    given = dict(service_environment("notifier"))
    names = [name for name in NotifierSettings.model_fields if name.upper() in given]
    given["STAFF_POLICY"] = policy_of("notifier")
    settings = NotifierSettings.model_validate({name: given[name.upper()] for name in names})
    assert settings.smtp_server is not None
    assert (settings.smtp_server.port, settings.smtp_server.security) == (587, "starttls")
    # Links in mail lead to the name by which people reach the bank.
    assert str(settings.public_url) == f"https://{service_environment('caddy')['BANK_HOST']}/"
