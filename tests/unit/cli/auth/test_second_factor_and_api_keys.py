"""The second factor and API keys on the command line."""

import json
from pathlib import Path

import pytest

from bankctl.auth.second_factor import show_qr_code
from bankctl.config import load_profile, upsert_profile
from bankctl.reference import walk
from bankctl.registry import build_root
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, KEY, USER, Bank

IBAN = "DE89370400440532013000"
LOGIN = ("login", "--email", "a@b.c", "--password-stdin")


def test_a_login_asks_for_the_code_of_the_second_factor(bank: Bank, cli: Cli) -> None:
    bank.totp = "123456"
    assert cli(*LOGIN, stdin="correct horse\n123456\n").status == 0
    assert [sorted(sent.body) for sent in bank.sent("/auth/login")] == [
        ["email", "password"],
        ["email", "password", "totp"],
    ]
    wrong = cli(*LOGIN, "-o", "json", stdin="correct horse\n654321\n")
    assert (wrong.status, wrong.problem["code"]) == (4, "invalid_totp")
    missing = cli(*LOGIN, "-o", "json", stdin="correct horse\n")
    assert (missing.status, missing.problem["code"]) == (2, "totp_required")


def test_enrolling_shows_the_secret_and_then_the_recovery_codes(ann: Cli, bank: Bank) -> None:
    begun = ann("auth", "totp", "enroll", "--password-stdin", "-o", "json", stdin="correct horse\n")
    assert begun.json["otpauth_uri"].startswith("otpauth://totp/")
    wrong = ann("auth", "totp", "confirm", "--code-stdin", stdin="000000\n")
    assert wrong.status == 4
    done = ann("auth", "totp", "confirm", "--code-stdin", "-o", "json", stdin="123456\n")
    assert len(done.json["recovery_codes"]) == 2
    shown = ann("auth", "totp", "confirm", "--code-stdin", stdin="123456\n")
    assert "AAAA-BBBB-CCCC-DDDD" in shown.out
    assert ann("auth", "totp", "disable", "--password-stdin", stdin="correct horse\n123456\n").status == 0


def test_the_qr_code_is_drawn_for_people_and_stays_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show_qr_code("otpauth://totp/bankctl:ann@example.com?secret=JBSWY3DPEHPK3PXP&issuer=bankctl")
    drawn = capsys.readouterr()
    assert drawn.out == ""
    lines = drawn.err.splitlines()
    assert len(lines) > 15
    assert max(map(len, lines)) < 80


def test_a_key_is_made_listed_and_revoked(ann: Cli, bank: Bank) -> None:
    arguments = ("auth", "api-keys", "create", "--name", "ci", "--password-stdin")
    assert ann(*arguments, stdin="correct horse\n").status == 2
    made = ann(*arguments, "--scope", "use_own_accounts", "-o", "json", stdin="correct horse\n")
    assert made.json["token"] == f"{KEY}@{load_profile(None).url}"
    assert ann("auth", "api-keys", "list", "--query", "[].name").json == ["ci"]
    bank.hooks.clear()
    ann("auth", "api-keys", "revoke", USER)
    assert bank.requests[-1].path == f"/auth/tokens/{USER}"


def test_a_key_is_made_with_a_budget_and_an_end(ann: Cli, bank: Bank) -> None:
    arguments = ("auth", "api-keys", "create", "--name", "agent", "--scope", "use_own_accounts")
    limits = ("--max-payment", "50.00", "--max-day", "200.00", "--payee", ANN, "--payee", IBAN)
    made = ann(
        *arguments, *limits, "--currency", "EUR", "--expires", "2026-12-24", "--password-stdin",
        stdin="correct horse\n",
    )  # fmt: skip
    assert made.status == 0
    [sent] = bank.sent("/auth/tokens")
    assert sent.body["budget"] == {
        "max_payment": "50.00",
        "max_day": "200.00",
        "currency": "EUR",
        "payees": [ANN, IBAN],
    }
    assert sent.body["expires_at"] == "2026-12-24T00:00:00.000Z"
    assert "expires_in_days" not in sent.body
    for wrong, code in (
        (limits, "currency_needed"),
        (("--currency", "EUR"), "currency_needed"),
        (("--payee", "4000000007"), "invalid_account"),
        (("--expires", "soon"), "usage"),
    ):
        refused = ann(*arguments, *wrong, "--password-stdin", "-o", "json", stdin="correct horse\n")
        assert refused.status == 2, code
    assert len(bank.sent("/auth/tokens")) == 1


def test_a_key_that_may_approve_waits(ann: Cli) -> None:
    made = ann(
        *("auth", "api-keys", "create", "--name", "ci", "--scope", "approve_acts", "--password-stdin"),
        stdin="correct horse\n",
    )
    assert made.status == 0
    assert KEY in made.out
    assert "the key is refused until somebody else runs" in made.err
    assert f"bankctl admin approvals approve {USER}" in made.err


def test_a_key_is_made_with_a_fresh_code_where_there_is_a_second_factor(ann: Cli, bank: Bank) -> None:
    bank.totp = "123456"
    arguments = ("auth", "api-keys", "create", "--name", "ci", "--password-stdin", "--scope", "read_events")
    made = ann(*arguments, "-o", "json", stdin="correct horse\n123456\n")
    assert made.json["token"] == f"{KEY}@{load_profile(None).url}"
    assert [sent.body.get("totp") for sent in bank.sent("/auth/tokens")] == [None, "123456"]
    wrong = ann(*arguments, "-o", "json", stdin="correct horse\n654321\n")
    assert (wrong.status, wrong.problem["code"]) == (4, "invalid_totp")
    missing = ann(*arguments, "-o", "json", stdin="correct horse\n")
    assert (missing.status, missing.problem["code"]) == (2, "totp_required")


def test_a_key_in_the_environment_takes_the_place_of_the_session(
    ann: Cli, bank: Bank, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.api_key = KEY
    monkeypatch.setenv("BANKCTL_TOKEN", f"{KEY}@{load_profile(None).url}")
    assert ann("whoami", "-o", "json").json["credential"] == "the API key in BANKCTL_TOKEN"
    assert ann("transfer", ANN, BOB, "5").status == 0
    assert ann("accounts", "list").status == 0
    for request in bank.requests:
        assert request.headers.get("Cookie") is None
        assert request.headers["Authorization"] == f"Bearer {KEY}"
    kept = (home / "state" / "sessions" / "test.json").read_text()
    assert KEY not in kept
    assert json.loads(kept)["cookie"] == "signed.token.one"


def test_a_refused_key_does_not_fall_back_on_the_session(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANKCTL_TOKEN", f"{KEY}@{load_profile(None).url}")
    outcome = ann("whoami", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (4, "not_signed_in")
    assert bank.paths() == ["/users/me"]


@pytest.mark.parametrize("value", ["hunter2hunter2", "bk_short", "bk_" + "k" * 42 + "\n"])
def test_what_is_no_key_is_neither_sent_nor_shown(
    cli: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BANKCTL_TOKEN", value)
    outcome = cli("accounts", "list", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_api_key")
    assert value not in outcome.err
    assert bank.requests == []


def test_sessions_end_one_by_one_or_all(ann: Cli, bank: Bank, home: Path) -> None:
    assert ann("auth", "sessions", "--end-others").status == 0
    assert bank.sent("/auth/sessions")[-1].query == {"keep_current": "true"}
    assert ann("auth", "sessions", "--end-others", "--end-all").status == 2
    assert ann("auth", "sessions", "--end-all").status == 0
    assert bank.sent("/auth/sessions")[-1].query == {}
    assert not (home / "state" / "sessions" / "test.json").exists()


def test_no_secret_is_ever_the_value_of_an_option_or_argument() -> None:
    for path, context in walk(build_root()):
        for parameter in context.command.params:
            names = f"{parameter.name} {' '.join(parameter.opts)}".lower()
            if any(word in names for word in ("password", "secret", "cookie", "totp", "code", "api_key")):
                assert getattr(parameter, "is_flag", False), f"{path}: {parameter.opts}"


def test_a_certificate_that_nobody_vouches_for_ends_it_before_anything_is_sent(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert_profile("test", url=load_profile(None).url, ca_file=None)
    for tempting in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PYTHONHTTPSVERIFY"):
        monkeypatch.setenv(tempting, "0" if "VERIFY" in tempting else "")
    outcome = ann("whoami", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (8, "tls_untrusted")
    assert bank.requests == []


def test_a_session_file_is_replaced_whole_or_not_at_all(
    ann: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "state" / "sessions" / "test.json"
    before = path.read_bytes()

    def full(_self: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert ann(*LOGIN, stdin="correct horse\n").status != 0
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
