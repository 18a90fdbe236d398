import pytest

from daemons.shared.settings import load_settings
from daemons.user_api.settings import UserApiSettings, UserStoreSettings

GOOD = {"MONGO_URI": "mongodb://127.0.0.1/?replicaSet=rs0", "JWT_SECRET": "s" * 32, "PORT": "8101"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "MONGO_DATABASE", "SESSION_HOURS", "SESSION_IDLE_MINUTES", "HASHING_WORKERS"):
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


def test_the_shell_needs_no_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORT")
    assert load_settings(UserStoreSettings).mongo_database == "user_api"
