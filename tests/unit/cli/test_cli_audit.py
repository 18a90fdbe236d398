"""admin audit and admin approvals, against a bank that plays both daemons' routes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bankctl.config import upsert_profile
from daemons.shared.approvals.views import ApprovalView
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
        "previous_hash": "0" * 64,
        "hash": f"{seq:064d}",
    }


class AuditedBank(Bank):
    """Three records, and one request that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.trails = {
            "ledger": [record(2, "2026-11-23T05:34:44.000Z"), record(1, "2026-11-23T05:34:42.000Z")],
            "users": [record(1, "2026-11-23T05:34:43.000Z")],
        }
        self.faults: list[dict[str, Any]] = []
        self.status = "pending"

    def _route(self, request: Request) -> Answer:
        kind, _, rest = request.path.removeprefix("/").partition("/")
        area, _, rest = rest.partition("/")
        if kind == "audit":
            return 200, self._audit(area, rest, request), {}
        if kind == "approvals":
            return 200, self._approvals(area, rest, request), {}
        if request.path.endswith(("/unfreeze", "/fund", "/adjust")):
            return 202, self.approval(), {}
        return super()._route(request)

    def _audit(self, trail: str, rest: str, request: Request) -> Any:
        if rest == "":
            return {"items": self.trails[trail], "next_cursor": None}
        if rest == "proof":
            head = {"count": len(self.trails[trail]), "hash": self.trails[trail][0]["hash"]}
            faults = self.faults if trail == "ledger" else []
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


def test_both_trails_are_listed_as_one_newest_first(ann: Cli) -> None:
    listed = ann("admin", "audit", "list", "-o", "json").json
    assert [(item["trail"], item["seq"]) for item in listed] == [("ledger", 2), ("users", 1), ("ledger", 1)]
    one = ann("admin", "audit", "list", "--trail", "users", "-o", "json").json
    assert [item["trail"] for item in one] == ["users"]
    cut = ann("admin", "audit", "list", "--limit", "2", "-o", "json")
    assert len(cut.json) == 2
    assert "there are more" in cut.err
    assert "\x1b" not in ann("admin", "audit", "list").out


def test_filters_are_sent(ann: Cli, bank: AuditedBank) -> None:
    ann("admin", "audit", "list", "--action", "fund", "--actor", USER, "--target", ANN)
    for trail in ("ledger", "users"):
        [sent] = bank.sent(f"/audit/{trail}")
        assert (sent.query["action"], sent.query["actor"], sent.query["target"]) == ("fund", USER, ANN)


def test_a_record_is_shown(ann: Cli) -> None:
    outcome = ann("admin", "audit", "show", "ledger", "2")
    assert "court order" in outcome.out
    assert "frozen" in outcome.out


def test_verifying_keeps_the_ends_and_compares_with_them_the_next_time(ann: Cli, bank: AuditedBank) -> None:
    first = ann("admin", "audit", "verify", "-o", "json")
    assert (first.status, first.json["holds"]) == (0, True)
    assert "count" not in bank.sent("/audit/ledger/proof")[0].query
    assert ann("admin", "audit", "verify").status == 0
    again = bank.sent("/audit/ledger/proof")[1]
    assert (again.query["count"], again.query["hash"]) == ("2", f"{2:064d}")
    assert ann("admin", "audit", "verify", "--forget").status == 0
    assert "count" not in bank.sent("/audit/ledger/proof")[2].query


def test_a_broken_trail_fails_and_keeps_nothing(ann: Cli, bank: AuditedBank) -> None:
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
    ]
    assert lines[-1]["heads"]["ledger"] == {"count": 2, "hash": f"{2:064d}"}
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    assert ann("admin", "audit", "verify", "--anchor", str(file)).status == 0
    assert bank.sent("/audit/users/proof")[-1].query["count"] == "1"
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
    "act", [("unfreeze", ANN, "--reason", "lifted"), ("fund", ANN, "500.00", "--currency", "EUR")]
)
def test_an_act_that_waits_says_so_and_exits_0(ann: Cli, act: tuple[str, ...]) -> None:
    outcome = ann("admin", *act)
    assert outcome.status == 0
    assert f"bankctl admin approvals approve {REQUEST}" in outcome.err
    assert "is active again" not in outcome.err
    assert "was credited" not in outcome.err
    assert ann("admin", *act, "-o", "json").json["status"] == "pending"
    assert ann("transactions", "retry").status == 0


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
