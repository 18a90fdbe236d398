"""As whom a daemon comes to Kafka: said whole, or refused with every fault."""

import pytest

from bankctl.local.service_keys import make_key
from daemons.shared.settings import KafkaSettings, PeerSettings, load_settings

GOOD = {
    "MONGO_URI": "mongodb://127.0.0.1/?replicaSet=rs0",
    "SERVICE_KEY": make_key(),
    "PORT": "8101",
    "KAFKA_BROKER": "kafka:9092",
    "USER_API_URL": "http://user_api:8000",
}
ACCOUNT = {"KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "notifier", "KAFKA_PASSWORD": "quiet-heron"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in map(str.upper, PeerSettings.model_fields):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_without_an_account_there_is_nothing_but_the_brokers() -> None:
    assert load_settings(PeerSettings).kafka.client_settings() == {"bootstrap.servers": "kafka:9092"}


def test_an_account_is_what_the_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(PeerSettings)
    assert settings.kafka.client_settings() == {
        "bootstrap.servers": "kafka:9092",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "notifier",
        "sasl.password": "quiet-heron",
    }
    assert "quiet-heron" not in f"{settings!r} {settings.kafka!r} {settings}"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"KAFKA_SECURITY": "sasl_plaintext"}, ["KAFKA_USERNAME", "KAFKA_PASSWORD"]),
        ({"KAFKA_SECURITY": "sasl_ssl", "KAFKA_USERNAME": "notifier"}, ["KAFKA_PASSWORD"]),
        (
            {"KAFKA_USERNAME": "notifier", "KAFKA_PASSWORD": "quiet-heron"},
            ["KAFKA_USERNAME", "KAFKA_PASSWORD"],
        ),
        (
            {**ACCOUNT, "KAFKA_SECURITY": "none", "KAFKA_MECHANISM": "MD5"},
            ["KAFKA_SECURITY", "KAFKA_MECHANISM"],
        ),
        ({"KAFKA_SECURITY": "sasl_ssl", "PORT": "0"}, ["PORT", "KAFKA_USERNAME", "KAFKA_PASSWORD"]),
    ],
)
def test_what_does_not_fit_together_is_refused_and_every_fault_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str],
    named: list[str],
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load_settings(PeerSettings)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert sorted(line.split(":")[0].strip() for line in said.splitlines()[1:]) == sorted(named)
    assert "quiet-heron" not in said


def test_an_unset_variable_of_compose_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_USERNAME", "")
    monkeypatch.setenv("KAFKA_PASSWORD", "")
    assert load_settings(KafkaSettings).kafka.account is None
