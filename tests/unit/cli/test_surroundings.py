"""Malformed surroundings: each is named with what to do about it, and none ends in an unexpected error."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from bankctl.config import check_url, upsert_profile
from bankctl.errors import CliError
from tests.unit.cli.bank_server import issue_certificate, serve
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, KEY, Bank, Request

BALANCE = ("balance", ANN)
TRANSFER = ("transfer", ANN, BOB, "5")
LOGIN = ("login", "--email", "ann@example.com", "--password-stdin")
LISTED = ("config", "list")
ELSEWHERE = "https://bank.example:8443"


@dataclass
class Place:
    """Where a command runs: its home, its environment, and what the system lets it do."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    full_disk: bool = False

    @property
    def config(self) -> Path:
        return self.home / "config" / "config.toml"

    @property
    def session(self) -> Path:
        return self.home / "state" / "sessions" / "test.json"

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        limits = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))) if self.full_disk else None
        return subprocess.run(  # the child does nothing but set a limit
            [sys.executable, "-m", "bankctl.main", *arguments, "-o", "json"],
            env=self.environment,
            input="correct horse\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=limits,
        )


@pytest.fixture
def place(ann: Cli, home: Path) -> Place:
    """Ann's, who is logged in."""
    return Place(home, {**os.environ, "BANKCTL_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)})


Spoil = Callable[[Place], None]
Commands = tuple[tuple[str, ...], ...]


def variable(name: str, value: str, *, without_home: bool = False) -> Spoil:
    def spoil(place: Place) -> None:
        place.environment[name] = value
        if without_home:
            del place.environment["BANKCTL_HOME"]

    return spoil


def file_instead(path: str) -> Spoil:
    def spoil(place: Place) -> None:
        shutil.rmtree(place.home / path, ignore_errors=True)
        (place.home / path).parent.mkdir(parents=True, exist_ok=True)
        (place.home / path).write_text("no folder")

    return spoil


def folder_instead(path: str) -> Spoil:
    def spoil(place: Place) -> None:
        (place.home / path).unlink()
        (place.home / path).mkdir(mode=0o700)

    return spoil


def content(path: str, text: str | bytes) -> Spoil:
    def spoil(place: Place) -> None:
        (place.home / path).parent.mkdir(parents=True, exist_ok=True)
        (place.home / path).write_bytes(text.encode() if isinstance(text, str) else text)

    return spoil


def elsewhere(name: str, value: str) -> Spoil:
    """A bank that is not on this machine, and whose certificate the system vouches for."""

    def spoil(place: Place) -> None:
        place.config.write_text(f'default_profile = "test"\n[profiles.test]\nurl = "{ELSEWHERE}"\n')
        place.environment |= {"BANKCTL_TOKEN": f"{KEY}@{ELSEWHERE}", name: value}

    return spoil


def full_disk(place: Place) -> None:
    place.full_disk = True


PENDING = "state/pending/key.json"
CONFIG = "config/config.toml"
SESSION = "state/sessions/test.json"
BROKEN: list[tuple[str, Spoil, Commands, str]] = [
    ("a file for a home", variable("BANKCTL_HOME", "/dev/null"), (BALANCE,), "BANKCTL_HOME"),
    ("a home in /proc", variable("BANKCTL_HOME", "/proc/no"), (LISTED,), "/proc/no/config"),
    ("nobody's home", variable("BANKCTL_HOME", "~no-such-user/x"), (BALANCE,), "BANKCTL_HOME"),
    ("an empty HOME", variable("HOME", "", without_home=True), (BALANCE,), "HOME"),
    (
        "a file for XDG",
        variable("XDG_CONFIG_HOME", "/dev/null", without_home=True),
        (LISTED,),
        "/dev/null/ba",
    ),
    ("a file for state", file_instead("state"), (TRANSFER, LOGIN), "state"),
    ("a file for sessions", file_instead("state/sessions"), (BALANCE,), "state/sessions"),
    ("a file for transfers", file_instead("state/pending"), (TRANSFER,), "state/pending"),
    ("no TOML", content(CONFIG, "[profiles"), (BALANCE,), CONFIG),
    ("no UTF-8 in TOML", content(CONFIG, b"\xff\xfe"), (BALANCE,), CONFIG),
    ("TOML without end", content(CONFIG, "a = " + "[" * 100_000), (BALANCE,), CONFIG),
    ("a URL with a path", content(CONFIG, '[profiles.test]\nurl = "https://a.example/b"'), (LISTED,), CONFIG),
    ("a folder for TOML", folder_instead(CONFIG), (LOGIN,), CONFIG),
    ("a profile's name", variable("BANKCTL_PROFILE", "../test"), (LISTED,), "BANKCTL_PROFILE"),
    ("perhaps", variable("BANKCTL_YES", "perhaps"), (TRANSFER,), "BANKCTL_YES"),
    ("no key", variable("BANKCTL_TOKEN", "secret"), (TRANSFER,), "BANKCTL_TOKEN"),
    ("no JSON in the session", content(SESSION, "{"), (BALANCE,), SESSION),
    ("a session of numbers", content(SESSION, '{"url": 1}'), (BALANCE,), SESSION),
    ("a session without end", content(SESSION, "[" * 100_000), (BALANCE,), SESSION),
    ("no text in the session", content(SESSION, b"\xff"), (BALANCE,), SESSION),
    ("a folder for the session", folder_instead(SESSION), (BALANCE,), SESSION),
    ("no JSON in a transfer", content(PENDING, "{"), (("transactions", "retry", "--all"),), PENDING),
    ("a transfer of nothing", content(PENDING, "{}"), (("transactions", "retry", "--all"),), PENDING),
    ("a full disk", full_disk, (TRANSFER, ("config", "use", "test")), "too large"),
    ("keys to nowhere", variable("SSLKEYLOGFILE", "/no/such/file"), (TRANSFER,), "SSLKEYLOGFILE"),
    ("keys to a folder", variable("SSLKEYLOGFILE", "/"), (BALANCE,), "SSLKEYLOGFILE"),
    ("no certificates", elsewhere("SSL_CERT_FILE", "/no/such/file"), (BALANCE,), "SSL_CERT_FILE"),
    ("a file without", elsewhere("SSL_CERT_FILE", "/etc/hostname"), (BALANCE,), "SSL_CERT_FILE"),
    ("no folder of them", elsewhere("SSL_CERT_DIR", "/no/such/folder"), (BALANCE,), "SSL_CERT_DIR"),
    ("no proxy's port", elsewhere("HTTPS_PROXY", "http://proxy:x"), (TRANSFER,), "HTTPS_PROXY"),
    ("a port too high", elsewhere("https_proxy", "proxy:70000"), (BALANCE,), "https_proxy"),
    ("no proxy's host", elsewhere("ALL_PROXY", "http://"), (BALANCE,), "ALL_PROXY"),
    ("no proxy's kind", elsewhere("HTTPS_PROXY", "ftp://proxy:1"), (BALANCE,), "HTTPS_PROXY"),
    ("half an address", elsewhere("all_proxy", "http://[::1"), (BALANCE,), "all_proxy"),
    ("SOCKS", elsewhere("ALL_PROXY", "socks5://127.0.0.1:1080"), (BALANCE,), "ALL_PROXY"),
    ("a newline", elsewhere("HTTPS_PROXY", "http://a\nb"), (BALANCE,), "HTTPS_PROXY"),
]


@pytest.mark.parametrize(
    ("spoil", "commands", "named"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_what_is_malformed_is_named_and_nothing_is_sent(
    bank: Bank, place: Place, spoil: Spoil, commands: Commands, named: str
) -> None:
    spoil(place)
    for arguments in commands:
        outcome = place.run(*arguments)
        problem = json.loads(outcome.stderr.splitlines()[-1])
        assert outcome.returncode in {2, 4}, (arguments, outcome.stderr)
        assert problem["code"] not in {"unexpected", "usage"}, outcome.stderr
        assert named in problem["detail"] + problem["hint"], outcome.stderr
        assert problem["hint"], outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert "secret" not in outcome.stderr
    assert [sent.path for sent in bank.requests if sent.method != "GET"] == []


@pytest.mark.parametrize(
    "spoil",
    [
        variable("HTTPS_PROXY", "http://["),
        variable("TZ", "Nowhere/Land"),
        variable("LANG", "xx_YY.no-such-charset"),
        variable("LC_ALL", "C"),
        variable("HOME", "/no/such/home"),
        variable("XDG_STATE_HOME", "relative"),
        variable("SSL_CERT_FILE", "/no/such/file"),
        full_disk,
        content("state/pending/broken.json", "{"),
    ],
)
def test_what_a_command_does_not_need_does_not_hinder_it(place: Place, spoil: Spoil) -> None:
    """The bank is on loopback and has a certificate of its own."""
    spoil(place)
    outcome = place.run(*BALANCE)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout)["balance"]["amount"] == "1000.00"


def test_a_proxy_that_is_not_there_is_named_without_its_password(place: Place) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    elsewhere("HTTPS_PROXY", f"http://ann:secret@127.0.0.1:{port}")(place)
    outcome = place.run(*BALANCE)
    problem = json.loads(outcome.stderr.splitlines()[-1])
    assert (outcome.returncode, problem["code"]) == (8, "proxy_failed")
    assert f"http://127.0.0.1:{port} of HTTPS_PROXY" in problem["detail"]
    assert "NO_PROXY" in problem["hint"]
    assert "secret" not in outcome.stderr

    place.environment["NO_PROXY"] = "bank.example"
    direct = json.loads(place.run(*BALANCE).stderr.splitlines()[-1])
    assert direct["code"] == "unreachable"


def test_a_payment_is_told_as_paid_though_its_file_cannot_be_removed(
    ann: Cli, bank: Bank, home: Path
) -> None:
    def replace_by_a_folder(request: Request) -> None:
        if request.path == "/transactions/transfer":
            [pending] = (home / "state" / "pending").glob("*.json")
            pending.unlink()
            pending.mkdir()

    bank.hooks.append(replace_by_a_folder)
    outcome = ann(*TRANSFER, "-o", "json")
    assert (outcome.status, outcome.json["status"]) == (0, "completed")
    assert "could not be removed" in outcome.err
    assert len(bank.sent("/transactions/transfer")) == 1


def test_who_cannot_keep_a_session_does_not_begin_one(cli: Cli, bank: Bank, home: Path) -> None:
    file_instead("state/sessions")(Place(home))
    outcome = cli(*LOGIN, "-o", "json", stdin="correct horse\n")
    assert outcome.status == 2
    assert "state/sessions" in outcome.problem["detail"]
    assert bank.paths() == []


@pytest.mark.parametrize("damage", ["{", '{"url": 1}', "[" * 100_000])
def test_a_damaged_session_is_replaced_by_login_and_taken_away_by_logout(
    ann: Cli, home: Path, damage: str
) -> None:
    kept = home / "state" / "sessions" / "test.json"
    kept.write_text(damage)
    assert ann("logout").status == 0
    assert not kept.exists()

    kept.write_text(damage)
    kept.chmod(0o600)
    assert ann(*LOGIN, stdin="correct horse\n").status == 0
    assert ann(*BALANCE).status == 0


class TestCertificatesOutOfDate:
    @pytest.fixture
    def dated(self, tmp_path: Path, home: Path) -> Iterator[Callable[..., Bank]]:
        """Begins a bank whose certificate lasts from and to so many days from now, by its own clock."""
        closing_down = []

        def begin(first: int, last: int, *, ahead: int) -> Bank:
            certificate = issue_certificate(tmp_path, begins=timedelta(days=first), ends=timedelta(days=last))
            bank = Bank()
            serving = serve(bank, *certificate, ahead=timedelta(days=ahead))
            upsert_profile("test", url=serving.__enter__(), ca_file=certificate[0])
            closing_down.append(serving)
            return bank

        yield begin
        for serving in closing_down:
            serving.__exit__(None, None, None)

    @pytest.mark.parametrize(
        ("first", "last", "ahead", "says"),
        [(3, 9, 5, "5 days behind the bank's"), (-9, -3, -5, "5 days ahead of the bank's")],
    )
    def test_a_wrong_clock_is_called_a_wrong_clock(
        self, dated: Callable[..., Bank], cli: Cli, first: int, last: int, ahead: int, says: str
    ) -> None:
        bank = dated(first, last, ahead=ahead)
        outcome = cli(*LOGIN, "-o", "json", stdin="correct horse\n")
        assert (outcome.status, outcome.problem["code"]) == (8, "tls_clock_wrong")
        assert "this machine's clock is wrong" in outcome.problem["detail"]
        assert says in outcome.problem["detail"]
        assert "clock" in outcome.problem["hint"]
        assert bank.paths() == []

    @pytest.mark.parametrize(("first", "last", "says"), [(3, 9, "not valid yet"), (-9, -3, "is expired")])
    def test_a_certificate_out_of_date_is_the_banks_to_renew_where_clocks_agree(
        self, dated: Callable[..., Bank], cli: Cli, first: int, last: int, says: str
    ) -> None:
        bank = dated(first, last, ahead=0)
        outcome = cli(*LOGIN, "-o", "json", stdin="correct horse\n")
        assert (outcome.status, outcome.problem["code"]) == (8, "tls_untrusted")
        assert says in outcome.problem["detail"]
        assert "clock" not in outcome.problem["detail"]
        assert bank.paths() == []

    def test_doctor_tells_how_far_the_clocks_are_apart(self, dated: Callable[..., Bank], cli: Cli) -> None:
        dated(-1, 9, ahead=2)
        [clock] = [row for row in cli("doctor", "-o", "json").json if row["check"] == "clock"]
        assert (clock["result"], clock["detail"]) == ("FAILED", "48 hours behind the bank's")


def test_a_session_that_ended_by_a_wrong_clock_only_is_told_so(
    ann: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "clock" not in ann("whoami").err
    monkeypatch.setattr("tests.unit.cli.played_bank.timedelta", lambda hours: -timedelta(hours=hours))
    outcome = ann("whoami")
    assert outcome.status == 0
    assert "this machine's clock is wrong" in outcome.err


def test_doctor_names_a_zone_that_is_none(ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Nowhere/Land")
    [zone] = [row for row in ann("doctor", "-o", "json").json if row["check"] == "time zone"]
    assert zone["result"] == "FAILED"
    assert "'Nowhere/Land'" in zone["detail"]
    for known in ("Europe/Vienna", "UTC", ":Asia/Kathmandu", "CET-1CEST,M3.5.0,M10.5.0/3", "<+03>-3"):
        monkeypatch.setenv("TZ", known)
        [zone] = [row for row in ann("doctor", "-o", "json").json if row["check"] == "time zone"]
        assert zone["result"] == "ok", known


ONE_ORIGIN = [
    ("HTTPS://Bank.Example.:443/", "https://bank.example"),
    ("https://bank.example:", "https://bank.example"),
    ("https://BANK.example:8443", "https://bank.example:8443"),
    ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
    ("https://\uff42ank.example", "https://bank.example"),
    ("https://[0:0::1]:8443", "https://[::1]:8443"),
    ("https://127.0.0.1", "https://127.0.0.1"),
]
NO_ORIGINS = [
    ("http://bank.example", "plain http"),
    ("bank.example", "https://"),
    ("https://", "no host"),
    ("https://:8443", "no host"),
    ("https://bank.example:0", "1-65535"),
    ("https://bank.example:65536", "range"),
    ("https://bank.example:eight", "Port"),
    ("https://bank.example/api", "after host and port"),
    ("https://bank.example?", "after host and port"),
    ("https://bank.example#", "after host and port"),
    ("https://ann:pw@bank.example", "password"),
    ("https://@bank.example", "password"),
    ("https://bank .example", "space"),
    ("https://bank.example\n", "control"),
    ("https://bank\\.example", "backslash"),
    ("https://bank..example", "not a host name"),
    ("https://-bank.example", "not a host name"),
    ("https://ba%6ek.example", "not a host name"),
    ("https://" + "a" * 64 + ".example", "not a host name"),
    ("https://1.2.3", "octets"),
    ("https://0x7f.0.0.1.0x1", "octets"),
    ("https://[fe80::1%25eth0]", "not a host name"),
    ("https://[::1", "IPv6"),
    ("https://\u202ebank.example", "U+202E"),
]


@pytest.mark.parametrize(("written", "origin"), ONE_ORIGIN)
def test_a_bank_has_one_origin_however_it_is_spelt(written: str, origin: str) -> None:
    assert check_url(written) == origin
    assert check_url(origin) == origin


@pytest.mark.parametrize(("written", "says"), NO_ORIGINS)
def test_a_url_is_checked_whole_before_it_is_kept(cli: Cli, home: Path, written: str, says: str) -> None:
    outcome = cli("config", "set", "url", written, "--profile", "work", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_url")
    assert says in outcome.problem["detail"].partition(": ")[2]
    assert not (home / "config" / "config.toml").exists()
    with pytest.raises(CliError):
        check_url(written)


class TestKeysAndOrigins:
    @pytest.fixture
    def another(self, certificate: tuple[Path, Path]) -> Iterator[tuple[str, Bank]]:
        bank = Bank()
        with serve(bank, *certificate) as url:
            yield url, bank

    def test_a_key_is_sent_to_the_bank_that_made_it_and_to_no_other(
        self,
        ann: Cli,
        bank: Bank,
        another: tuple[str, Bank],
        certificate: tuple[Path, Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        made = ann(
            *(
                "auth",
                "api-keys",
                "create",
                "--name",
                "ci",
                "--scope",
                "use_own_accounts",
                "--password-stdin",
            ),
            *("-o", "json"),
            stdin="correct horse\n123456\n",
        ).json["token"]
        key, _, origin = made.partition("@")
        bank.api_key = key
        bank.requests.clear()
        monkeypatch.setenv("BANKCTL_TOKEN", made)
        assert ann(*BALANCE).status == 0
        assert bank.requests[-1].headers["Authorization"] == f"Bearer {key}"

        url, stranger = another
        upsert_profile("other", url=url, ca_file=certificate[0])
        outcome = ann(*TRANSFER, "--profile", "other", "-o", "json")
        assert (outcome.status, outcome.problem["code"]) == (2, "api_key_of_another_bank")
        assert origin in outcome.problem["detail"]
        assert url in outcome.problem["detail"]
        assert key not in outcome.err
        assert stranger.requests == []

        # The same profile, moved to the other: by hand, or by somebody who can change the configuration.
        upsert_profile("test", url=url, ca_file=certificate[0])
        assert ann(*BALANCE).status == 2
        [found] = [row for row in ann("doctor", "-o", "json").json if row["check"] == "API key"]
        assert (found["result"], key in found["detail"]) == ("FAILED", False)
        for request in stranger.requests:
            assert "Authorization" not in request.headers

    def test_a_key_that_does_not_say_whose_it_is_stays_here(
        self, ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BANKCTL_TOKEN", KEY)
        outcome = ann(*BALANCE, "-o", "json")
        assert (outcome.status, outcome.problem["code"]) == (2, "api_key_without_origin")
        assert KEY not in outcome.err
        assert bank.requests == []

    def test_a_redirection_is_not_followed(
        self, ann: Cli, bank: Bank, another: tuple[str, Bank], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, stranger = another
        monkeypatch.setattr(bank, "answer", lambda request: (307, None, {"Location": f"{url}{request.path}"}))
        outcome = ann(*BALANCE)
        assert outcome.status != 0
        assert stranger.requests == []
