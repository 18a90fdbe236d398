"""The command line goes on with its session by itself, also when several commands do so at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bankctl.auth.session import session_lock
from bankctl.config import load_profile
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request


def kept(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "state" / "sessions" / "test.json").read_text())
    return found


def change_kept(home: Path, **changes: Any) -> None:
    path = home / "state" / "sessions" / "test.json"
    path.write_text(json.dumps({**kept(home), **changes}))


def test_a_login_keeps_both_cookies_and_when_the_first_ends(ann: Cli, home: Path) -> None:
    assert kept(home)["refresh_cookie"] == "refresh-one"
    assert kept(home)["cookie_expires_at"] > 0


def test_the_refresh_cookie_goes_with_an_exchange_only(ann: Cli, bank: Bank) -> None:
    ann("whoami")
    bank.cookie = "another"
    ann("whoami")
    with_it = [one.path for one in bank.requests if "refresh" in one.headers.get("Cookie", "")]
    assert with_it == ["/auth/refresh"]


def test_a_cookie_that_ends_soon_is_renewed_before_it_is_used(ann: Cli, bank: Bank, home: Path) -> None:
    change_kept(home, cookie_expires_at=0.0)
    outcome = ann("whoami")
    assert (outcome.status, outcome.err) == (0, "")
    assert bank.paths() == ["/auth/refresh", "/auth/session"]
    assert (kept(home)["cookie"], kept(home)["refresh_cookie"]) == ("renewed.1", "refresh-1")
    assert kept(home)["cookie_expires_at"] > 0


def test_a_refused_cookie_is_renewed_and_the_request_sent_again(ann: Cli, bank: Bank, home: Path) -> None:
    bank.cookie = "of another time"
    arguments = ("transfer", ANN, BOB, "5", "--idempotency-key", "once")
    assert ann(*arguments).status == 0
    assert bank.exchanges == 1
    assert len(bank.settled) == 1
    path = home / "state" / "sessions" / "test.json"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_session_that_has_ended_is_told_as_such(ann: Cli, bank: Bank) -> None:
    bank.cookie = bank.refresh_cookie = "of a session that has ended"
    outcome = ann("whoami", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (4, "not_signed_in")
    assert bank.paths() == ["/auth/session", "/auth/refresh"]


def test_a_lost_line_during_the_exchange_is_no_end(ann: Cli, bank: Bank, home: Path) -> None:
    change_kept(home, cookie_expires_at=0.0)

    def cut(_request: Request) -> None:
        raise CutLineError

    bank.once("/auth/refresh", cut)
    assert ann("whoami").status == 0
    assert bank.exchanges == 1


def test_commands_at_once_exchange_once_and_all_go_on(ann: Cli, bank: Bank, home: Path) -> None:
    bank.cookie = "of another time"
    command = [sys.executable, "-m", "bankctl.main", "whoami", "-o", "json"]
    environment = {**os.environ, "BANKCTL_HOME": str(home)}
    with session_lock(load_profile(None)):
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(3)
        ]
        # The lock is let go when all of them have been refused and so need the exchange.
        with bank.arrivals:
            assert bank.arrivals.wait_for(lambda: bank.paths().count("/auth/session") == 3, timeout=60)
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["email"] == "ann@example.com"
    assert bank.exchanges == 1


@pytest.mark.parametrize("changes", [{"user_id": "somebody else"}, {"refresh_cookie": None}])
def test_a_command_never_goes_on_as_another_person(
    ann: Cli, bank: Bank, home: Path, changes: dict[str, Any]
) -> None:
    def log_in_as_another(_request: Request) -> None:
        change_kept(home, **changes)

    bank.cookie = "of another time"
    bank.once("/auth/session", log_in_as_another)
    assert ann("whoami").status == 4
    assert bank.exchanges == 0


def test_a_session_without_a_refresh_cookie_still_works(ann: Cli, bank: Bank, home: Path) -> None:
    before = kept(home)
    del before["refresh_cookie"], before["cookie_expires_at"]
    (home / "state" / "sessions" / "test.json").write_text(json.dumps(before))
    assert ann("whoami").status == 0
    bank.cookie = "another"
    assert ann("whoami").status == 4
