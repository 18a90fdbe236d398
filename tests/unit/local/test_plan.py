"""What the local stack tells its daemons of the servers that they are to use."""

import pytest

from bankctl.local.daemons import DAEMONS
from bankctl.local.plan import environment
from bankctl.local.service_keys import CALLERS, CALLING_DAEMONS, make_key, public_key_of
from bankctl.local.settings import DEFAULT_PORTS, Settings

KEYS = {name: make_key() for name in CALLING_DAEMONS}
SETTINGS = Settings(
    id="x", ports=dict(DEFAULT_PORTS), jwt_secret="s" * 32, service_keys=KEYS, checkpoint_key="c"
)
ACCOUNT = {"KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "bank", "KAFKA_PASSWORD": "quiet-heron"}


def of_kafka(external: dict[str, str]) -> dict[str, str]:
    given = environment(SETTINGS, external, "notifier")
    return {name: text for name, text in given.items() if name.startswith("KAFKA_")}


def test_a_kafka_that_is_given_is_used_with_its_account() -> None:
    external = {"KAFKA_BROKER": "kafka.example:9093", **ACCOUNT}
    assert of_kafka(external) == {**external, "KAFKA_MECHANISM": "SCRAM-SHA-512"}


def test_the_stacks_own_kafka_has_its_own_accounts_whatever_the_environment_says() -> None:
    assert of_kafka(ACCOUNT) == {
        "KAFKA_BROKER": "127.0.0.1:29092",
        "KAFKA_SECURITY": "sasl_plaintext",
        "KAFKA_MECHANISM": "PLAIN",
        "KAFKA_USERNAME": "notifier",
        "KAFKA_PASSWORD": SETTINGS.password("kafka", "notifier"),
    }


def test_each_daemon_is_given_its_own_secret_and_the_public_keys_of_its_callers() -> None:
    given = {name: environment(SETTINGS, {"JWT_SECRET": "t" * 32}, name) for name in DAEMONS}
    secrets = {*SETTINGS.service_keys.values(), "s" * 32, "t" * 32}

    assert {name: secrets & set(environment.values()) for name, environment in given.items()} == {
        "user_api": {"t" * 32, SETTINGS.service_keys["user_api"]},
        "banking_api": {SETTINGS.service_keys["banking_api"]},
        "notifier": {SETTINGS.service_keys["notifier"]},
    }
    for callee, callers in CALLERS.items():
        for name in callers:
            assert given[callee][f"{name.upper()}_PUBLIC_KEYS"] == public_key_of(given[name]["SERVICE_KEY"])


@pytest.mark.parametrize("daemon", ["user_api", "banking_api"])
def test_the_policy_is_on_unless_it_was_lifted_when_the_stack_was_started(
    daemon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not what the supervisor's own environment says, which is that of whatever command started it last.
    monkeypatch.setenv("STAFF_POLICY", "none")
    given = environment(SETTINGS, {}, daemon)
    assert not [name for name in given if name == "STAFF_POLICY"]
    lifted = {"STAFF_POLICY": "none"}
    assert environment(SETTINGS, lifted, daemon).items() >= lifted.items()


def test_every_account_has_a_password_of_its_own() -> None:
    passwords = {
        SETTINGS.password(server, name)
        for server in ("mongod", "kafka")
        for name in ("root", "user_api", "banking_api", "notifier")
    }
    assert len(passwords) == 8
    assert all(len(password) == 64 for password in passwords)


def test_a_daemon_is_told_its_own_settings_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("CLOUD_TOKEN", "of a person")
    given = environment(SETTINGS, {}, "user_api")
    assert given["LOG_LEVEL"] == "debug"
    assert not given.keys() & {"CLOUD_TOKEN", "PATH"}
    assert given["KAFKA_USERNAME"] == "user_api"
