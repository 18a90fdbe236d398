"""The command line, run in this process against a bank on loopback."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bankctl.config import upsert_profile
from bankctl.main import run
from tests.unit.cli.bank_server import issue_certificate, serve
from tests.unit.cli.played_bank import Bank


@dataclass(frozen=True)
class Outcome:
    """What one command line left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err.strip().splitlines()[-1])


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, a script's consent, and no option from the developer's environment."""
    for name in ("BANKCTL_PROFILE", "BANKCTL_TOKEN", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "home"
    monkeypatch.setenv("BANKCTL_HOME", str(directory))
    # Most tests run commands as a script does; those of the question itself take it away.
    monkeypatch.setenv("BANKCTL_YES", "1")
    return directory


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return issue_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def bank(certificate: tuple[Path, Path]) -> Iterator[Bank]:
    """A bank that is the default profile."""
    bank = Bank()
    with serve(bank, *certificate) as url:
        upsert_profile("test", url=url, ca_file=certificate[0])
        yield bank


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line and returns its outcome; `stdin` is what it can read."""

    def invoke(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        capsys.readouterr()
        status = run(arguments)
        captured = capsys.readouterr()
        return Outcome(int(status), captured.out, captured.err)

    return invoke


@pytest.fixture
def ann(bank: Bank, cli: Cli) -> Cli:
    """The command line of Ann, who is logged in."""
    outcome = cli("login", "--email", "ann@example.com", "--password-stdin", stdin="correct horse\n")
    assert outcome.status == 0, outcome.err
    bank.requests.clear()
    return cli
