"""events tail over a real stream: nothing twice, nothing left out, never silent about a loss."""

import json
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from daemons.contracts.names import EventType
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, NOW, Bank, ProblemError, Request

EVENT = "01890a5d-ac96-774b-bcce-b302099a8057"


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
    [
        ["--type", "Nothing"],
        ["--account", "123"],
        ["--after", "1", "--since-start"],
        ["--from", EVENT, "--since", "2h"],
        ["--from", "not-an-id"],
        ["--since", "yesterday"],
        ["--min-amount", "1,5"],
        ["--failures", "--type", "AccountChanged"],
        ["--count", "0"],
        ["--broker", "127.0.0.1:1", "--from", EVENT],
        ["--broker", "127.0.0.1:1", "--user", "ann@example.com"],
    ],
)
def test_wrong_filters_are_usage_errors(ann: Cli, bank: Bank, arguments: list[str]) -> None:
    assert ann("events", "tail", *arguments).status == 2
    assert bank.requests == []


def test_filters_reach_the_bank(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1))
    ann("events", "tail", "--since-start", "--count", "1", "--type", "TransactionCompleted", "--account", ANN)
    assert bank.sent("/events")[0].query == {"type": "TransactionCompleted", "account": ANN}
    ann("events", "tail", "--since", "2026-11-24", "--failures", "--min-amount", "10", "--count", "1")
    asked = bank.sent("/events")[1]
    assert asked.query == {"failures": "true", "min_amount": "10", "since": "2026-11-24T00:00:00.000Z"}
    assert "Last-Event-ID" not in asked.headers


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


def test_every_line_ends_with_the_events_id(ann: Cli, bank: Bank) -> None:
    bank.events += [event(number, event_type) for number, event_type in enumerate(EventType, 1)]
    out = ann("events", "tail", "--since-start", "--count", str(len(EventType))).out
    assert [line.split()[-1] for line in out.splitlines()] == [one["id"] for one in bank.events]


def test_what_is_followed_and_how_far_behind_is_said_beside_the_data(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2)]
    told = ann("events", "tail", "--since-start", "--count", "2", "--account", ANN, "-o", "json")
    assert f"following all events of account {ANN} after position 0, 2 events behind" in told.err
    assert len(told.out.splitlines()) == 2


def test_too_many_streams_are_refused_with_what_to_do(ann: Cli, bank: Bank) -> None:
    def refuse(request: Request) -> None:
        if request.path == "/events":
            raise ProblemError(429, "too_many_streams", "transient", "One caller may hold 10 streams open.")

    bank.hooks.append(refuse)
    outcome = ann("events", "tail", "--since-start", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (8, "too_many_streams")
    assert "end another" in outcome.problem["hint"]


class TestSavedFilters:
    def test_a_filter_is_kept_in_the_profile_and_used_again(self, ann: Cli, bank: Bank) -> None:
        saved = ann("events", "history", "--failures", "--min-amount", "10", "--save", "big")
        assert (saved.status, "filter big is kept: failures of 10 or more" in saved.err) == (0, True)
        ann("events", "history", "--filter", "big", "--min-amount", "20", "--account", ANN)
        assert bank.searches[-1].items() >= {"failures": "true", "min_amount": "20", "account": ANN}.items()
        assert [row["name"] for row in ann("events", "filters", "list", "-o", "json").json] == ["big"]

    def test_other_changes_of_the_profile_leave_it(self, ann: Cli, bank: Bank) -> None:
        ann("events", "history", "--since", "2h", "--save", "recent")
        url = ann("config", "get", "url", "--query", "url", "--raw").out.strip()
        assert ann("config", "set", "url", url).status == 0
        assert [row["since"] for row in ann("events", "filters", "list", "-o", "json").json] == ["2h"]

    def test_a_removed_filter_is_gone(self, ann: Cli, bank: Bank) -> None:
        ann("events", "history", "--failures", "--save", "big")
        assert ann("events", "filters", "remove", "big").status == 0
        for arguments in (["filters", "remove", "big"], ["history", "--filter", "big"]):
            outcome = ann("events", *arguments, "-o", "json")
            assert (outcome.status, outcome.problem["code"]) == (3, "filter_not_found")
        assert bank.searches[1:] == []


def test_one_event_is_shown_with_its_place_on_kafka(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1, id=EVENT, partition=4, offset=17))
    out = ann("events", "show", EVENT).out
    assert "TransactionCompleted, partition 4, offset 17" in out
    assert ann("events", "show", EVENT, "-o", "json").json["offset"] == 17
    assert ann("events", "show", "17").status == 2
