"""How `events tail --broker` connects: what options and the daemons' variables become for Kafka's client."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from bankctl.client.broker import BrokerOptions
from bankctl.errors import CliError

BROKER = "kafka.example:9093"
VARIABLES = (
    "KAFKA_SECURITY",
    "KAFKA_USERNAME",
    "KAFKA_PASSWORD",
    "KAFKA_MECHANISM",
    "KAFKA_CA_FILE",
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def options(**given: Any) -> BrokerOptions:
    return BrokerOptions.of_environment(
        BROKER, **{"user": None, "mechanism": None, "tls": False, "ca_file": None, **given}
    )


@pytest.mark.parametrize(
    ("user", "tls", "protocol"),
    [
        (None, False, "plaintext"),
        (None, True, "ssl"),
        ("auditor", False, "sasl_plaintext"),
        ("auditor", True, "sasl_ssl"),
    ],
)
def test_options_reach_kafkas_client(
    monkeypatch: pytest.MonkeyPatch, user: str | None, protocol: str, *, tls: bool
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "secret")
    settings = options(user=user, tls=tls, mechanism="PLAIN").settings()
    account = {"sasl.mechanism": "PLAIN", "sasl.username": "auditor", "sasl.password": "secret"}
    expected = {"bootstrap.servers": BROKER, "security.protocol": protocol}
    assert settings == {**expected, **(account if user else {})}
    # The client refuses settings that it does not know.
    Consumer({**settings, "group.id": "tests"}).close()


def test_the_daemons_variables_say_what_the_options_do_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    authority.touch()
    for name, value in zip(
        VARIABLES, ("sasl_ssl", "auditor", "secret", "SCRAM-SHA-256", str(authority)), strict=True
    ):
        monkeypatch.setenv(name, value)
    assert options().settings() == {
        "bootstrap.servers": BROKER,
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "auditor",
        "sasl.password": "secret",
        "ssl.ca.location": str(authority),
    }
    assert options(user="other").settings()["sasl.username"] == "other"
    assert "secret" not in repr(options())


@pytest.mark.parametrize(
    ("variables", "given", "code"),
    [
        ({"KAFKA_SECURITY": "tls"}, {}, "invalid_environment"),
        ({"KAFKA_SECURITY": "sasl_ssl"}, {}, "usage"),
        ({}, {"user": "auditor"}, "no_broker_password"),
        ({}, {"ca_file": Path("/nowhere/ca.pem")}, "no_such_file"),
    ],
)
def test_what_does_not_fit_together_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], given: dict[str, Any], code: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CliError) as caught:
        options(**given)
    assert (caught.value.code, caught.value.exit_status) == (code, 2)
