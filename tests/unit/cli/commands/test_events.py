"""events tail over a real stream: nothing twice, nothing left out, never silent about a loss."""

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, NOW, Bank, ProblemError, Request


def event(position: int, event_type: str = "TransactionCompleted", **more: Any) -> dict[str, Any]:
    return {
        "position": position,
        "id": f"e{position}",
        "type": event_type,
        "time": NOW,
        "key": ANN,
        "source": "banking_api",
        "severity": "info",
        "received_at": NOW,
        "data": {
            "amount": {"amount": "12.50", "currency": "EUR"},
            "sender": {"account_id": ANN, "owner": {"user_id": "u", "display_name": "Ann\x1b[2J"}},
            "receiver": {"account_id": BOB, "owner": {"user_id": "v", "display_name": "Bob [/]"}},
            "reference": "lunch",
        },
        **more,
    }


def test_events_come_one_json_a_line(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2)]
    outcome = ann("events", "tail", "--since-start", "--count", "2", "-o", "json")
    assert outcome.status == 0, outcome.err
    assert [json.loads(line)["position"] for line in outcome.out.splitlines()] == [1, 2]
    selected = ann("events", "tail", "--after", "1", "--count", "1", "--query", "data.reference")
    assert selected.out == '"lunch"\n'


def test_a_line_names_both_parties_and_is_safe(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2, "TransactionFailed")]
    bank.events[1]["data"]["failure"] = {"code": "account_frozen", "detail": "frozen"}
    out = ann("events", "tail", "--since-start", "--count", "2").out
    first, second = out.splitlines()
    assert f"12.50 EUR  Ann ({ANN}) → Bob [/] ({BOB})  lunch" in first
    assert "frozen; lunch" in second
    assert "\x1b" not in out


def test_a_lost_line_is_taken_up_where_it_broke_off(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2, then="cut"), event(3)]
    outcome = ann("events", "tail", "--since-start", "--count", "3", "-o", "jsonl")
    assert outcome.status == 0, outcome.err
    assert [json.loads(line)["position"] for line in outcome.out.splitlines()] == [1, 2, 3]
    assert [request.headers["Last-Event-ID"] for request in bank.sent("/events")] == ["0", "2"]
    assert "resuming the stream" in outcome.err


def test_an_event_that_comes_twice_is_shown_once(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2, id="e1"), event(3)]
    out = ann("events", "tail", "--since-start", "--count", "2", "-o", "json").out
    assert [json.loads(line)["position"] for line in out.splitlines()] == [1, 3]


def test_without_a_beginning_it_starts_with_what_is_new(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2)]

    def arrive(request: Request) -> None:
        if request.path == "/events":
            bank.events.append(event(3))

    bank.hooks.append(arrive)
    out = ann("events", "tail", "--count", "1", "-o", "json").out
    assert json.loads(out)["position"] == 3


def test_a_stream_that_does_not_come_back_exits_8(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1, then="cut"))
    outcome = ann("events", "tail", "--since-start", "--wait", "0", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (8, "stream_lost")
    assert "--after 1" in outcome.problem["hint"]


def test_a_session_that_ended_exits_4(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1, then="cut"))

    def end(request: Request) -> None:
        if request.path == "/events" and request.headers["Last-Event-ID"] == "1":
            raise ProblemError(401, "session_ended", "unauthenticated", "the session has ended")

    bank.hooks.append(end)
    outcome = ann("events", "tail", "--since-start", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (4, "session_ended")


def test_a_session_that_ends_under_the_stream_exits_4(ann: Cli, bank: Bank) -> None:
    ended = 'event: session_ended\ndata: {"code": "session_ended"}\n\n'
    bank.events.append({**event(1), "behind": ended})

    def end(request: Request) -> None:
        if request.path == "/events" and request.headers["Last-Event-ID"] == "1":
            raise ProblemError(401, "session_ended", "unauthenticated", "the session has ended")

    bank.hooks.append(end)
    outcome = ann("events", "tail", "--since-start", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (4, "session_ended")


def test_a_slow_reader_is_told_and_misses_nothing(ann: Cli, bank: Bank) -> None:
    lagging = 'event: lagging\ndata: {"position": 0, "last_position": 7}\n\n'
    bank.events.append({**event(1), "before": lagging})
    outcome = ann("events", "tail", "--since-start", "--count", "1", "-o", "json")
    assert json.loads(outcome.out)["position"] == 1
    assert "7 events behind" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [["--type", "Nothing"], ["--account", "123"], ["--after", "1", "--since-start"], ["--count", "0"]],
)
def test_wrong_filters_are_usage_errors(ann: Cli, bank: Bank, arguments: list[str]) -> None:
    assert ann("events", "tail", *arguments).status == 2
    assert bank.requests == []


def test_filters_reach_the_bank(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1))
    ann("events", "tail", "--since-start", "--count", "1", "--type", "TransactionCompleted", "--account", ANN)
    assert bank.sent("/events")[0].query == {"type": "TransactionCompleted", "account": ANN}


def test_ctrl_c_exits_130_without_a_traceback(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1))
    # What a shell starts in the background ignores Ctrl-C, and so would this; a person's command does not.
    person = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = f"{person}; from bankctl.main import main; main()"
    command = [sys.executable, "-c", start, "events", "tail", "--since-start", "-o", "json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        # The first line arrives while the stream is open: nothing waits in a buffer.
        assert json.loads(process.stdout.readline())["position"] == 1
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        watchdog.cancel()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_history_as_a_table_and_as_json(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2)]
    assert [row["position"] for row in ann("events", "history", "-o", "json").json] == [2, 1]
    assert "Bob [/]" in ann("events", "history").out
