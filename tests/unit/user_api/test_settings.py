from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bankctl.local.service_keys import make_key, public_key_of
from daemons.contracts.permissions import Role
from daemons.shared.settings import PeerSettings, load_settings
from daemons.user_api.settings import UserApiSettings, UserStoreSettings

GOOD = {
    "MONGO_URI": "mongodb://127.0.0.1/?replicaSet=rs0",
    "JWT_SECRET": "s" * 32,
    "SERVICE_KEY": make_key(),
    "KAFKA_BROKER": "127.0.0.1:9",
    "NOTIFIER_URL": "http://127.0.0.1:8103",
    "PORT": "8101",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = (*UserApiSettings.model_fields, "host")
    for name in map(str.upper, fields):
        monkeypatch.delenv(name, raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_what_is_not_given_has_safe_defaults() -> None:
    settings = load_settings(UserApiSettings)
    assert (settings.host, settings.mongo_database) == ("127.0.0.1", "user_api")
    assert settings.session_limits.lifetime.total_seconds() == 12 * 3600
    assert settings.session_limits.idle.total_seconds() == 3600
    assert "s" * 32 not in repr(settings)


def test_every_fault_is_named_at_once_and_no_secret_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JWT_SECRET", "too-short")
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("SESSION_HOURS", "-1")
    monkeypatch.delenv("MONGO_URI")
    with pytest.raises(SystemExit) as stopped:
        load_settings(UserApiSettings)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert all(name in said for name in ("JWT_SECRET", "PORT", "SESSION_HOURS", "MONGO_URI"))
    assert "too-short" not in said


def test_the_refusal_of_a_short_secret_says_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for secret in ("s" * 31, "\u00e9" * 15):
        monkeypatch.setenv("JWT_SECRET", secret)
        with pytest.raises(SystemExit):
            load_settings(UserApiSettings)
        assert "secrets.token_urlsafe" in capsys.readouterr().err


def test_a_previous_secret_is_optional_and_held_to_the_same_length(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for absent in (None, ""):
        if absent is not None:
            monkeypatch.setenv("JWT_SECRET_PREVIOUS", absent)
        assert load_settings(UserApiSettings).secrets == ["s" * 32]
    monkeypatch.setenv("JWT_SECRET_PREVIOUS", "p" * 32)
    settings = load_settings(UserApiSettings)
    assert settings.secrets == ["s" * 32, "p" * 32]
    assert "p" * 32 not in repr(settings)
    monkeypatch.setenv("JWT_SECRET_PREVIOUS", "too-short")
    with pytest.raises(SystemExit):
        load_settings(UserApiSettings)
    assert "JWT_SECRET_PREVIOUS" in capsys.readouterr().err


def test_access_tokens_last_ten_minutes_and_never_more_than_fifteen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(UserApiSettings).session_limits.access.total_seconds() == 600
    monkeypatch.setenv("ACCESS_TOKEN_MINUTES", "16")
    with pytest.raises(SystemExit):
        load_settings(UserApiSettings)


def test_staff_need_a_second_factor_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_settings(UserApiSettings).second_factor_roles == set(Role) - {Role.USER}
    monkeypatch.setenv("TOTP_REQUIRED_ROLES", "")
    assert load_settings(UserApiSettings).second_factor_roles == frozenset()
    monkeypatch.setenv("TOTP_REQUIRED_ROLES", "root, admin")
    with pytest.raises(SystemExit):
        load_settings(UserApiSettings)
    assert "root" in capsys.readouterr().err


def test_the_shell_needs_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT")
    assert load_settings(UserStoreSettings).mongo_database == "user_api"


@pytest.mark.parametrize("fault", ["", "short", "c2hvcnQ=", "the public key", "another kind of key"])
def test_a_service_key_that_is_none_is_refused_with_how_to_make_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    other_kind = generate_private_key(SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    made = {
        "the public key": public_key_of(make_key()),
        "another kind of key": b64encode(other_kind).decode(),
    }
    for name, value in {"KAFKA_BROKER": "k:1", "USER_API_URL": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SERVICE_KEY", made.get(fault, fault))
    with pytest.raises(SystemExit):
        load_settings(PeerSettings)
    said = capsys.readouterr().err
    assert "SERVICE_KEY" in said
    assert "openssl genpkey -algorithm ed25519" in said
    assert not fault or fault not in said


@pytest.mark.parametrize("wrong", ["short", "a private key", "a public key and something else"])
def test_public_keys_that_are_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    private = make_key()
    made = {"a private key": private, "a public key and something else": f"{public_key_of(private)},x"}
    monkeypatch.setenv("NOTIFIER_PUBLIC_KEYS", made.get(wrong, wrong))
    with pytest.raises(SystemExit):
        load_settings(UserApiSettings)
    said = capsys.readouterr().err
    assert "NOTIFIER_PUBLIC_KEYS" in said
    assert private not in said
