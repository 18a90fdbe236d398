"""register, login, logout, whoami, and the file that keeps the session."""

import json
import stat
from pathlib import Path

import pytest

from bankctl.config import upsert_profile
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import Bank


def session_path(home: Path) -> Path:
    return home / "state" / "sessions" / "test.json"


def test_login_keeps_the_session_where_only_its_owner_can_read_it(ann: Cli, home: Path) -> None:
    path = session_path(home)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["cookie"] == "signed.token.one"
    assert list(path.parent.iterdir()) == [path]


def test_whoami_tells_who_where_until_when_and_where_the_session_is_kept(ann: Cli, home: Path) -> None:
    found = ann("whoami", "-o", "json").json
    assert found["email"] == "ann@example.com"
    assert found["role"] == "admin"
    assert found["url"].startswith("https://127.0.0.1:")
    assert found["session_file"] == str(session_path(home))
    assert found["expires_in"].startswith("7 h")


def test_the_cookie_never_reaches_the_output(ann: Cli) -> None:
    for arguments in (["whoami"], ["whoami", "-o", "json"], ["--debug", "whoami"], ["auth", "sessions"]):
        outcome = ann(*arguments)
        assert "signed.token" not in outcome.out + outcome.err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_session_that_others_can_read_is_refused(ann: Cli, bank: Bank, home: Path, mode: int) -> None:
    session_path(home).chmod(mode)
    outcome = ann("whoami", "-o", "json")
    assert outcome.status == 4
    assert outcome.problem["code"] == "session_file_exposed"
    assert "chmod 600" in outcome.problem["hint"]
    assert bank.requests == []


def test_a_session_in_a_folder_that_others_can_enter_is_refused(ann: Cli, home: Path) -> None:
    session_path(home).parent.chmod(0o755)
    assert ann("whoami").status == 4


def test_the_cookie_goes_only_to_the_origin_that_issued_it(ann: Cli, bank: Bank) -> None:
    upsert_profile("test", url="https://127.0.0.1:1", ca_file=None)
    outcome = ann("whoami", "-o", "json")
    assert outcome.status == 4
    assert outcome.problem["code"] == "not_logged_in"


def test_logout_ends_the_session_at_the_bank_and_forgets_it(ann: Cli, bank: Bank, home: Path) -> None:
    assert ann("logout").status == 0
    assert bank.paths() == ["/auth/logout"]
    assert not session_path(home).exists()
    assert ann("logout").status == 0
    assert ann("whoami").status == 4


def test_a_session_that_the_bank_replaces_is_kept(ann: Cli, bank: Bank, home: Path) -> None:
    bank.cookie = bank.refresh_cookie = "ended"
    assert ann("whoami").status == 4
    bank.cookie = "signed.token.two"
    assert ann("login", "--email", "a@b.c", "--password-stdin", stdin="correct horse\n").status == 0
    assert json.loads(session_path(home).read_text())["cookie"] == "signed.token.two"


def _login(cli: Cli, bank: Bank) -> str | None:
    """Log in; return the cookies that were sent with it."""
    assert cli("login", "--email", "a@b.c", "--password-stdin", stdin="correct horse\n").status == 0
    cookies: str | None = bank.sent("/auth/login")[-1].headers.get("Cookie")
    return cookies


def test_the_bank_knows_the_machine_again_also_after_a_logout(bank: Bank, cli: Cli, home: Path) -> None:
    assert _login(cli, bank) is None
    path = home / "state" / "devices" / "test.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert cli("logout").status == 0
    assert _login(cli, bank) == "__Host-bankctl-device=known.here"
    assert cli("whoami").status == 0
    assert "device" not in (bank.sent("/auth/session")[-1].headers["Cookie"] or "")


def test_what_the_machine_is_known_by_is_shown_to_no_other_bank(bank: Bank, cli: Cli, home: Path) -> None:
    _login(cli, bank)
    path = home / "state" / "devices" / "test.json"
    for spoilt in (json.dumps({"url": "https://other.example", "cookie": "known.here"}), "{", "[]"):
        path.write_text(spoilt)
        assert _login(cli, bank) is None
    path.chmod(0o644)
    assert _login(cli, bank) is None


def test_a_wrong_password_says_so_and_exits_4(bank: Bank, cli: Cli) -> None:
    outcome = cli("login", "--email", "a@b.c", "--password-stdin", "-o", "json", stdin="wrong\n")
    assert (outcome.status, outcome.out) == (4, "")
    assert outcome.problem["code"] == "invalid_credentials"
    assert outcome.problem["request_id"]


def test_without_a_terminal_nothing_is_asked(bank: Bank, cli: Cli) -> None:
    outcome = cli("login", "--email", "a@b.c", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "no_terminal")
    assert "--password-stdin" in outcome.problem["hint"]
    assert cli("login", "--password-stdin", stdin="correct horse\n").status == 2


def test_a_password_is_never_an_option(cli: Cli, bank: Bank) -> None:
    assert cli("login", "--email", "a@b.c", "--password", "x").status == 2


def test_registering_does_not_log_in(bank: Bank, cli: Cli, home: Path) -> None:
    outcome = cli(
        "register",
        "--email",
        "new@example.com",
        "--name",
        "New",
        "--password-stdin",
        "-o",
        "json",
        stdin="correct horse\n",
    )
    assert (outcome.status, outcome.json["email"]) == (0, "new@example.com")
    assert not session_path(home).exists()


def test_auth_status_fails_when_nobody_is_logged_in(bank: Bank, cli: Cli) -> None:
    outcome = cli("auth", "status", "-o", "json")
    assert (outcome.status, outcome.out) == (4, "")
    assert outcome.problem["hint"].startswith("`bankctl login`")
