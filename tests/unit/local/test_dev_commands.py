import json
from pathlib import Path

import pytest

from bankctl.errors import ExitStatus
from bankctl.execution import execute
from bankctl.local import settings
from bankctl.local.layout import Layout
from bankctl.local.mail import SUFFIX, mail_folder


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.setenv("BANKCTL_HOME", str(tmp_path))
    layout = Layout.of("local")
    settings.save(layout, settings.choose(layout, None, None))
    return layout


def test_reset_without_a_terminal_wants_yes(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["dev", "reset"]) == ExitStatus.USAGE
    assert "--yes" in capsys.readouterr().err
    assert layout.settings.exists()

    assert execute(["dev", "reset", "--yes"]) == ExitStatus.OK
    assert not layout.root.exists()


def test_down_of_what_does_not_run_is_no_error(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["dev", "down"]) == ExitStatus.OK
    assert "nothing ran" in capsys.readouterr().err


def test_status_of_what_does_not_run_fails_and_says_what_to_do(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["dev", "status", "--stack", "none", "-o", "json"]) == ExitStatus.UNEXPECTED
    told = capsys.readouterr()
    assert json.loads(told.out) == {
        "stack": "none",
        "url": None,
        "healthy": False,
        "supervisor_pid": None,
        "parts": [],
    }
    assert "bankctl dev up --stack none" in told.err


def test_env_prints_what_a_shell_can_read(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["dev", "env", "banking_api"]) == ExitStatus.OK
    lines = capsys.readouterr().out.splitlines()

    assert "export PORT=8102" in lines
    assert "export USER_API_URL=http://127.0.0.1:8101" in lines
    assert all(line.startswith("export ") for line in lines)


def test_the_last_lines_of_a_log_are_data(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.log("kafka").write_text("one\n\x1b[31mtwo\x1b[0m\nthree\n")

    assert execute(["dev", "logs", "kafka", "-n", "2"]) == ExitStatus.OK
    assert capsys.readouterr().out == "two\nthree\n"
    assert execute(["dev", "logs", "kafka", "-n", "1", "-o", "json"]) == ExitStatus.OK
    assert json.loads(capsys.readouterr().out) == [{"part": "kafka", "line": "three"}]


def test_mail_is_shown_with_its_lines_and_nothing_that_drives_a_terminal(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = mail_folder(layout)
    kept.mkdir()
    mail = "Subject: Code\r\nDelivered-To: ann@example.com\r\n\r\nHello,\r\n\r\nyour code:\r\n\x1b[31m123\r\n"
    (kept / f"1764500000000000-1{SUFFIX}").write_bytes(mail.encode())

    assert execute(["dev", "mail", "last"]) == ExitStatus.OK
    assert capsys.readouterr().out.endswith("\n\nHello,\n\nyour code:\n123\n")
    assert execute(["dev", "mail", "last", "--query", "to", "-r"]) == ExitStatus.OK
    assert capsys.readouterr().out == "ann@example.com\n"


@pytest.mark.parametrize(
    "arguments", [["--port", "gateway"], ["--port", "gateway=x"], ["--port", "nothing=9443"]]
)
def test_a_port_that_is_none_is_a_usage_error(layout: Layout, arguments: list[str]) -> None:
    assert execute(["dev", "up", *arguments]) == ExitStatus.USAGE
    assert not layout.intent.exists()
