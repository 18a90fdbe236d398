"""admin dead-letters, against a bank that plays the notifier's routes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankctl.config import upsert_profile
from daemons.notifier.dead_letters.models import (
    DeadLetterPage,
    DeadLetterView,
    IntakeView,
    ReplayReport,
)
from tests.unit.cli.bank_server import serve
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import NOW, USER, Answer, Bank, ProblemError, Request

LETTER = "0190a1b2-0000-7000-8000-00000000000e"
BY = {"user_id": USER, "display_name": "Olga \x1b[31m", "role": "operator"}
CONTENT = {
    "key": None,
    "value": {"size": 2, "text": None, "base64": "/wA="},
    "headers": [{"name": "x", "value": {"size": 1, "text": "y", "base64": "eQ=="}}],
}


class BankWithLetters(Bank):
    """One open letter, which `readable` makes an event; replaying all takes two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.readable = True
        self.closed = False

    def intake(self) -> dict[str, Any]:
        return {
            "open": not self.closed,
            "limit": 100,
            "window_minutes": 60,
            "since": None,
            "kept": 0,
            "closed_at": NOW if self.closed else None,
            "closed_by": "TransactionFailed, partition 1, offset 7: bad" if self.closed else None,
            "reopened": None if self.closed else {"by": BY, "at": NOW, "reason": "seen"},
        }

    def letter(self, result: str | None = None) -> dict[str, Any]:
        done = {"by": BY, "at": NOW, "result": result, "event_id": USER, "reason": None}
        return {
            "id": LETTER,
            "topic": "TransactionFailed",
            "partition": 1,
            "offset": 7,
            "status": "replayed" if result not in {None, "undecodable"} else "open",
            "reason": "header ce_id is missing",
            "received_at": NOW,
            "last_replay": None if result is None else done,
        }

    def _route(self, request: Request) -> Answer:
        if not request.path.startswith("/dead-letters"):
            return super()._route(request)
        if request.path == "/dead-letters":
            return 200, {"items": [self.letter()], "next_cursor": None, "intake": self.intake()}, {}
        if request.path == "/dead-letters/resume":
            self.closed = False
            return 200, self.intake(), {}
        if request.path == "/dead-letters/replay":
            more = request.body["after"] is None
            left = 0 if self.readable else 1
            report = {"recorded": 2, "already_recorded": 1, "undecodable": left}
            return 200, {**report, "last": LETTER if more else None}, {}
        if not request.path.startswith(f"/dead-letters/{LETTER}"):
            raise ProblemError(404, "dead_letter_not_found", "not_found")
        if request.path.endswith("/replay"):
            return 200, {**self.letter("recorded" if self.readable else "undecodable"), **CONTENT}, {}
        return 200, {**self.letter(), **CONTENT}, {}


@pytest.fixture
def bank(certificate: tuple[Path, Path]) -> Iterator[BankWithLetters]:
    bank = BankWithLetters()
    with serve(bank, *certificate) as url:
        upsert_profile("test", url=url, ca_file=certificate[0])
        yield bank


def test_the_played_bank_answers_as_the_notifier_does(bank: BankWithLetters) -> None:
    for model, method, path, body in (
        (DeadLetterPage, "GET", "/dead-letters", None),
        (DeadLetterView, "GET", f"/dead-letters/{LETTER}", None),
        (DeadLetterView, "POST", f"/dead-letters/{LETTER}/replay", None),
        (ReplayReport, "POST", "/dead-letters/replay", {"after": None}),
        (IntakeView, "POST", "/dead-letters/resume", {"reason": "x"}),
    ):
        _, document, _ = bank._route(Request(method, path, {}, json.dumps(body).encode() if body else b""))
        model.model_validate_json(json.dumps(document))


def test_letters_are_listed_and_filtered(ann: Cli, bank: BankWithLetters) -> None:
    listed = ann("admin", "dead-letters", "list", "--status", "open", "--topic", "TransactionFailed")
    assert listed.status == 0
    assert "header ce_id is missing" in listed.out
    assert bank.sent("/dead-letters")[0].query["topic"] == "TransactionFailed"
    assert bank.sent("/dead-letters")[0].query["status"] == "open"
    assert listed.err == ""
    assert ann("admin", "dead-letters", "list", "-o", "json").json[0]["id"] == LETTER
    unknown = ann("admin", "dead-letters", "list", "--topic", "Nothing", "-o", "json")
    assert (unknown.status, unknown.problem["code"]) == (2, "unknown_event_type")


def test_a_notifier_that_has_stopped_is_told_of(ann: Cli, bank: BankWithLetters) -> None:
    bank.closed = True
    listed = ann("admin", "dead-letters", "list", "-o", "json", "--quiet")
    assert "the limit of 100 in 60 minutes was reached at TransactionFailed, partition 1" in listed.err
    assert listed.json[0]["status"] == "open"
    resumed = ann("admin", "dead-letters", "resume", "--reason", "seen", "-o", "json")
    assert (resumed.status, resumed.json["open"]) == (0, True)
    assert bank.sent("/dead-letters/resume")[0].body == {"reason": "seen"}


def test_a_letter_is_shown_whole(ann: Cli) -> None:
    shown = ann("admin", "dead-letters", "show", LETTER, "-o", "json")
    assert shown.json["value"]["base64"] == "/wA="
    missing = ann("admin", "dead-letters", "show", USER, "-o", "json")
    assert (missing.status, missing.problem["code"]) == (3, "dead_letter_not_found")
    assert "dead-letters list" in missing.problem["hint"]


def test_a_letter_is_replayed(ann: Cli, bank: BankWithLetters) -> None:
    done = ann("admin", "dead-letters", "replay", LETTER)
    assert done.status == 0
    assert "recorded now" in done.err
    assert "\x1b[31m" not in done.out
    bank.readable = False
    still = ann("admin", "dead-letters", "replay", LETTER, "-o", "json")
    assert (still.status, still.problem["code"]) == (1, "undecodable")
    assert still.json["status"] == "open"


def test_all_letters_are_replayed_step_by_step(ann: Cli, bank: BankWithLetters) -> None:
    done = ann("admin", "dead-letters", "replay", "--all", "-o", "json")
    assert (done.status, done.json) == (0, {"recorded": 4, "already_recorded": 2, "undecodable": 0})
    assert [request.body["after"] for request in bank.sent("/dead-letters/replay")] == [None, LETTER]
    bank.readable = False
    assert ann("admin", "dead-letters", "replay", "--topic", "TransactionFailed").status == 1
    assert bank.sent("/dead-letters/replay")[-1].body["topic"] == "TransactionFailed"


@pytest.mark.parametrize("given", [[], [LETTER, "--all"], ["--all", "--topic", "TransactionFailed"]])
def test_what_to_replay_is_said_once(ann: Cli, bank: BankWithLetters, given: list[str]) -> None:
    assert ann("admin", "dead-letters", "replay", *given).status == 2
    assert bank.sent("/dead-letters/replay") == []
