"""admin audit and admin approvals, against a bank that plays the daemons' routes."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bankctl.config import upsert_profile
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.audit.record import SHELL, AuditEntry, chained, genesis
from daemons.shared.audit.views import AuditProofView, AuditRecordView
from tests.unit.cli.bank_server import serve
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, NOW, USER, Answer, Bank, CutLineError, ProblemError, Request

REQUEST = "0190a1b2-0000-7000-8000-00000000000f"
PERSON = {"user_id": USER, "display_name": "Ann \x1b[31mLee", "role": "operator"}


def record(seq: int, at: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "at": at,
        "actor": PERSON,
        "action": "freeze",
        "target": {"kind": "account", "id": ANN},
        "reason": "court order",
        "request_id": "r",
        "address": "192.0.2.7",
        "before": {"status": "active"},
        "after": {"status": "frozen"},
        "approval": None,
        "documents": None,
        "previous_hash": "0" * 64,
        "hash": f"{seq:064d}",
    }


class AuditedBank(Bank):
    """Four records in three trails, and one request that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.trails = {
            "ledger": [record(2, "2026-11-23T05:34:44.000Z"), record(1, "2026-11-23T05:34:42.000Z")],
            "users": [record(1, "2026-11-23T05:34:43.000Z")],
            "events": [record(1, "2026-11-23T05:34:41.000Z")],
        }
        self.faults: list[dict[str, Any]] = []
        self.broken = "ledger"
        self.status = "pending"

    def _route(self, request: Request) -> Answer:
        kind, _, rest = request.path.removeprefix("/").partition("/")
        area, _, rest = rest.partition("/")
        if kind == "audit":
            return 200, self._audit(area, rest, request), {}
        if kind == "approvals":
            return 200, self._approvals(area, rest, request), {}
        if request.path.endswith(("/unfreeze", "/fund", "/adjust", "/role", "/lock", "/unlock")):
            return 202, self.approval(), {}
        return super()._route(request)

    def _audit(self, trail: str, rest: str, request: Request) -> Any:
        if rest == "":
            return {"items": self.trails[trail], "next_cursor": None}
        if rest == "proof":
            head = {"count": len(self.trails[trail]), "hash": self.trails[trail][0]["hash"]}
            faults = self.faults if trail == self.broken else []
            return {
                "trail": trail,
                "holds": not faults,
                "head": head,
                "anchored": "count" in request.query,
                "fault_count": len(faults),
                "faults": faults,
            }
        return self.trails[trail][-int(rest)]

    def _approvals(self, area: str, rest: str, request: Request) -> Any:
        request_id, _, act = rest.partition("/")
        if rest == "":
            return {"items": [self.approval()] if area == "users" else [], "next_cursor": None}
        if area == "ledger" or request_id != REQUEST:
            raise ProblemError(404, "approval_not_found", "not_found")
        self.status = {"approve": "approved", "reject": "rejected", "": self.status}[act]
        return self.approval()

    def approval(self) -> dict[str, Any]:
        decided = self.status != "pending"
        return {
            "id": REQUEST,
            "act": "unfreeze",
            "target": {"kind": "account", "id": ANN},
            "reason": "lifted",
            "parameters": {},
            "status": self.status,
            "requested_by": PERSON,
            "requested_at": NOW,
            "expires_at": NOW,
            "decided_by": PERSON if decided else None,
            "decided_at": NOW if decided else None,
            "decision_reason": None,
            "outcome": None,
        }


@pytest.fixture
def bank(certificate: tuple[Path, Path]) -> Iterator[AuditedBank]:
    bank = AuditedBank()
    with serve(bank, *certificate) as url:
        upsert_profile("test", url=url, ca_file=certificate[0])
        yield bank


def test_the_played_bank_answers_as_the_daemons_do(bank: AuditedBank) -> None:
    AuditRecordView.model_validate(record(1, NOW))
    ApprovalView.model_validate_json(json.dumps(bank.approval()))
    request = Request("GET", "/audit/ledger/proof", {"Cookie": ""}, b"")
    AuditProofView.model_validate(bank._audit("ledger", "proof", request))


def test_all_trails_are_listed_as_one_newest_first(ann: Cli) -> None:
    listed = ann("admin", "audit", "list", "-o", "json").json
    assert [(item["trail"], item["seq"]) for item in listed] == [
        ("ledger", 2),
        ("users", 1),
        ("ledger", 1),
        ("events", 1),
    ]
    for trail in ("users", "events"):
        one = ann("admin", "audit", "list", "--trail", trail, "-o", "json").json
        assert [item["trail"] for item in one] == [trail]
    cut = ann("admin", "audit", "list", "--limit", "2", "-o", "json")
    assert len(cut.json) == 2
    assert "there are more" in cut.err
    assert "\x1b" not in ann("admin", "audit", "list").out


def test_filters_are_sent(ann: Cli, bank: AuditedBank) -> None:
    given = ("--action", "fund", "--actor", USER, "--target", ANN)
    ann("admin", "audit", "list", *given, "--since", "2026-11-01", "--until", "2026-11-24T10:30+02:00")
    for trail in ("ledger", "users", "events"):
        [sent] = bank.sent(f"/audit/{trail}")
        assert (sent.query["action"], sent.query["actor"], sent.query["target"]) == ("fund", USER, ANN)
        period = (sent.query["since"], sent.query["until"])
        assert period == ("2026-11-01T00:00:00.000Z", "2026-11-24T08:30:00.000Z")


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "0001-01-01T00:00+14:00", ""])
def test_what_is_no_time_is_refused_before_anything_is_sent(ann: Cli, bank: AuditedBank, text: str) -> None:
    outcome = ann("admin", "audit", "list", "--since", text)
    assert outcome.status == 2
    assert "2026-11-24" in outcome.err
    assert bank.sent("/audit/ledger") == []


def test_a_refused_sign_in_is_shown_with_its_reason_and_counts(ann: Cli, bank: AuditedBank) -> None:
    refused = record(2, "2026-11-23T05:34:45.000Z") | {
        "actor": {"user_id": None, "display_name": "not signed in", "role": None},
        "action": "sign_in.refused",
        "target": {"kind": "unknown account", "id": "9c1185a5c5e9fc54"},
        "reason": "invalid_credentials",
        "before": None,
        "after": {"account": {"failures": 11, "held_back": 3}, "others_left_out": 0},
    }
    bank.trails["users"].insert(0, refused)
    listed = ann("admin", "audit", "list", "--limit", "1").out
    for text in ("not signed in", "sign_in.refused", "9c1185a5c5e9fc54", "invalid_credentials", "192.0.2.7"):
        assert text in listed
    shown = ann("admin", "audit", "show", "users", "2").out
    assert "held_back" in shown
    assert "unknown account" in shown


def test_a_record_is_shown(ann: Cli) -> None:
    for trail, number in (("ledger", "2"), ("events", "1")):
        outcome = ann("admin", "audit", "show", trail, number)
        assert "court order" in outcome.out
        assert "frozen" in outcome.out


def test_verifying_keeps_the_ends_and_compares_with_them_the_next_time(ann: Cli, bank: AuditedBank) -> None:
    first = ann("admin", "audit", "verify", "-o", "json")
    assert (first.status, first.json["holds"]) == (0, True)
    assert "count" not in bank.sent("/audit/ledger/proof")[0].query
    assert ann("admin", "audit", "verify").status == 0
    again = bank.sent("/audit/ledger/proof")[1]
    assert (again.query["count"], again.query["hash"]) == ("2", f"{2:064d}")
    for trail in ("users", "events"):
        anchored = bank.sent(f"/audit/{trail}/proof")[1]
        assert (anchored.query["count"], anchored.query["hash"]) == ("1", f"{1:064d}")
    assert ann("admin", "audit", "verify", "--forget").status == 0
    assert "count" not in bank.sent("/audit/ledger/proof")[2].query


@pytest.mark.parametrize("broken", ["ledger", "users", "events"])
def test_a_broken_trail_fails_and_keeps_nothing(ann: Cli, bank: AuditedBank, broken: str) -> None:
    bank.broken = broken
    bank.faults = [{"seq": 2, "problem": "was changed"}, {"seq": 0, "problem": "the head is missing"}]
    outcome = ann("admin", "audit", "verify")
    assert outcome.status == 1
    assert "record 2: was changed (2 in all)" in outcome.out
    bank.faults = []
    ann("admin", "audit", "verify")
    assert "count" not in bank.sent("/audit/ledger/proof")[1].query
    bank.faults = [{"seq": 2, "problem": "was changed"}]
    assert ann("admin", "audit", "verify", "-o", "json").problem["code"] == "audit_broken"


def test_an_export_is_all_records_oldest_first_and_an_anchor(
    ann: Cli, bank: AuditedBank, tmp_path: Path
) -> None:
    exported = ann("admin", "audit", "export").out
    lines = [json.loads(line) for line in exported.splitlines()]
    assert [(line["trail"], line["seq"]) for line in lines[:-1]] == [
        ("ledger", 1),
        ("ledger", 2),
        ("users", 1),
        ("events", 1),
    ]
    assert lines[-1]["heads"]["ledger"] == {"count": 2, "hash": f"{2:064d}"}
    assert lines[-1]["heads"]["events"] == {"count": 1, "hash": f"{1:064d}"}
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    assert ann("admin", "audit", "verify", "--anchor", str(file)).status == 0
    for trail in ("users", "events"):
        assert bank.sent(f"/audit/{trail}/proof")[-1].query["count"] == "1"
    file.write_text('{"heads": {"ledger": {"count": "2"}}}')
    assert ann("admin", "audit", "verify", "--anchor", str(file)).status == 2
    assert ann("admin", "audit", "verify", "--anchor", str(tmp_path / "none")).status == 2


def test_requests_of_both_daemons_are_listed_shown_and_decided(ann: Cli, bank: AuditedBank) -> None:
    assert [item["id"] for item in ann("admin", "approvals", "list", "-o", "json").json] == [REQUEST]
    assert ann("admin", "approvals", "show", REQUEST, "-o", "json").json["status"] == "pending"
    assert ann("admin", "approvals", "approve", REQUEST, "-o", "json").json["status"] == "approved"
    assert bank.sent(f"/approvals/users/{REQUEST}/approve")
    rejected = ann("admin", "approvals", "reject", REQUEST, "--reason", "no", "-o", "json")
    assert rejected.json["status"] == "rejected"
    assert bank.sent(f"/approvals/users/{REQUEST}/reject")[0].body == {"reason": "no"}
    missing = ann("admin", "approvals", "show", "0190a1b2-0000-7000-8000-0000000000ee")
    assert missing.status == 3


@pytest.mark.parametrize(
    "act",
    [
        ("unfreeze", ANN, "--reason", "lifted"),
        ("fund", ANN, "500.00", "--currency", "EUR"),
        ("set-role", USER, "operator", "--reason", "joined"),
        ("lock", USER, "--reason", "left"),
        ("unlock", USER, "--reason", "is back"),
    ],
)
def test_an_act_that_waits_says_so_and_exits_0(ann: Cli, act: tuple[str, ...]) -> None:
    outcome = ann("admin", *act)
    assert outcome.status == 0
    assert f"bankctl admin approvals approve {REQUEST}" in outcome.err
    assert "is active again" not in outcome.err
    for done in ("was credited", "is operator now", "is locked out", "may log in again"):
        assert done not in outcome.err
    assert ann("admin", *act, "-o", "json").json["status"] == "pending"
    assert ann("transactions", "retry").status == 0


def test_a_request_that_is_withdrawn_is_listed_with_why(ann: Cli, bank: AuditedBank) -> None:
    bank.status = "withdrawn"
    assert ann("admin", "approvals", "list", "--status", "withdrawn", "-o", "json").json[0]["id"] == REQUEST
    assert bank.sent("/approvals/users")[-1].query["status"] == "withdrawn"
    outcome = ann("admin", "lock", USER, "--reason", "left")
    assert outcome.status == 0
    assert "nothing was done: this request is withdrawn" in outcome.err


def exported(*counts: tuple[str, str, int]) -> list[str]:
    """Return the lines of an export, made by the daemons' own rules."""
    lines, heads = [], {}
    for trail, chain, count in counts:
        head = genesis(chain)
        for number in range(count):
            document, head = chained(entry(number), head)
            lines.append(json.dumps({"trail": trail, **document}, ensure_ascii=False))
        heads[trail] = {"count": head.count, "hash": head.hash}
    return [*lines, json.dumps({"heads": heads})]


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=datetime(2026, 11, 24, tzinfo=UTC),
        actor=replace(SHELL, display_name="Zoë"),
        action="sign_in",
        target_kind="user",
        target_id=str(number),
        reason=None,
        before=None,
        after={"failures_before": number},
    )


def test_an_export_is_verified_without_the_bank(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    chains = (("ledger", "banking_api", 0), ("users", "user_api", 6), ("events", "notifier", 2))
    file.write_text("\n".join(exported(*chains)))
    outcome = cli("admin", "audit", "verify", "--file", str(file), "-o", "json")
    assert (outcome.status, outcome.json["holds"]) == (0, True)
    assert outcome.json["heads"]["users"]["count"] == 6
    assert outcome.json["heads"]["ledger"]["count"] == 0
    assert outcome.json["heads"]["events"]["count"] == 2


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (lambda lines: [*lines[:2], lines[2].replace("Zoë", "Zoe"), *lines[3:]], "record 3: was changed"),
        (lambda lines: [lines[0].replace(": 0}", ": 0.0}"), *lines[1:]], "record 1: was changed"),
        (lambda lines: [*lines[:2], *lines[3:]], "record 3 is missing"),
        (lambda lines: lines[1:], "record 1 is missing"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "record 1 is missing"),
        (lambda lines: [*lines[:4], lines[-1]], "the last line counts 6 records, the last one is 4"),
        (lambda lines: lines[:-1], "does not give the end of the trail"),
        (
            lambda lines: [re.sub('"trail": "[a-z]+"', '"trail": "ledger"', line) for line in lines],
            "does not follow",
        ),
    ],
)
@pytest.mark.parametrize(("trail", "chain"), [("users", "user_api"), ("events", "notifier")])
def test_a_changed_export_fails(
    cli: Cli,
    tmp_path: Path,
    tamper: Callable[[list[str]], list[str]],
    problem: str,
    trail: str,
    chain: str,
) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("\n".join(tamper(exported((trail, chain, 6)))))
    outcome = cli("admin", "audit", "verify", "--file", str(file), "-o", "csv")
    assert outcome.status == 1
    assert problem in outcome.out


@pytest.mark.parametrize("text", ["", "{}", "[1]", "no json", '{"heads": {}}', '{"trail": "cash"}'])
def test_what_is_no_export_is_refused(cli: Cli, tmp_path: Path, text: str) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text(text)
    assert cli("admin", "audit", "verify", "--file", str(file)).status == 2
    assert cli("admin", "audit", "verify", "--file", str(tmp_path / "none")).status == 2
    assert cli("admin", "audit", "verify", "--file", str(file), "--forget").status == 2


def test_an_adjustment_waits_for_a_second_person(ann: Cli, bank: AuditedBank) -> None:
    arguments = ("admin", "adjust", ANN, "12.50", "--debit", "--reason", "booked twice", "--corrects", USER)
    asked = ann(*arguments, "-o", "json")
    assert (asked.status, asked.json["status"]) == (0, "pending")
    assert f"bankctl admin approvals approve {REQUEST}" in asked.err
    [sent] = bank.sent(f"/accounts/{ANN}/adjust")
    assert sent.body == {
        "direction": "debit",
        "amount": "12.50",
        "currency": "EUR",
        "reason": "booked twice",
        "corrects": USER,
    }
    assert sent.key


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("12.50", "--reason", "x"), "--credit or --debit"),
        (("12.50", "--credit"), "--reason"),
        (("0", "--credit", "--reason", "x"), "amount"),
    ],
)
def test_an_adjustment_that_is_not_clear_is_not_sent(
    ann: Cli, bank: AuditedBank, given: tuple[str, ...], said: str
) -> None:
    outcome = ann("admin", "adjust", ANN, *given)
    assert outcome.status == 2
    assert said in outcome.err
    assert bank.sent(f"/accounts/{ANN}/adjust") == []


def test_an_adjustment_whose_line_was_cut_is_settled_by_retry(ann: Cli, bank: AuditedBank) -> None:
    def cut(_: Request) -> None:
        raise CutLineError

    bank.times(3, f"/accounts/{ANN}/adjust", cut)
    arguments = ("admin", "adjust", ANN, "1.00", "--credit", "--reason", "x", "--idempotency-key", "k")
    assert ann(*arguments).status == 9
    settled = ann("transactions", "retry", "k", "-o", "json")
    assert settled.status == 0
    assert settled.json[0]["outcome"] == "waits"
    assert REQUEST in settled.json[0]["detail"]
