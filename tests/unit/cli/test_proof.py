"""admin prove: exits 0 only if every figure agrees."""

from typing import Any

import pytest

from bankctl.render import progress
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, NOW, Bank, ProblemError, Request, event_set

SAME = event_set()


@pytest.fixture
def proven(bank: Bank) -> Bank:
    bank.event_proofs = [{"events": SAME, "notifications": SAME}]
    return bank


def test_everything_agrees(ann: Cli, proven: Bank) -> None:
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.json["holds"]) == (0, True)
    assert {check["result"] for check in outcome.json["checks"]} == {"ok"}
    text = ann("admin", "prove").out
    assert "sum of EUR" in text
    assert "FAILED" not in text


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({"holds": False}, "ledger"),
        ({"mismatches": [{"id": "4000000006", "problem": "off by one"}]}, "balances"),
        (
            {"currencies": [{"currency": "EUR", "sum_minor": "1", "accounts": 3, "entries": 4}]},
            "sum of EUR",
        ),
        ({"outbox_pending": 1, "events": event_set(3, "cd")}, "outbox"),
        ({"events": event_set(3, "cd")}, "events received"),
        ({"events": event_set(2, "cd")}, "notifications"),
    ],
)
def test_one_figure_that_is_off_fails_the_proof(
    ann: Cli, proven: Bank, changes: dict[str, Any], failed: str
) -> None:
    proven.ledger_proof_changes = changes
    outcome = ann("admin", "prove", "--wait", "0", "-o", "json")
    assert (outcome.status, outcome.json["holds"], outcome.problem["code"]) == (1, False, "proof_failed")
    results = {check["name"]: check["result"] for check in outcome.json["checks"]}
    assert results[failed] == "FAILED"


def test_notifications_that_are_missing_fail_the_proof(ann: Cli, bank: Bank) -> None:
    bank.event_proofs = [{"events": SAME, "notifications": event_set(1, "cd")}]
    assert ann("admin", "prove", "--wait", "0").status == 1


def test_deliveries_that_nobody_tries_fail_the_proof(ann: Cli, proven: Bank) -> None:
    proven.deliveries_proof = {"settled": 1, "given_up": 0, "tried": 0, "astray": 1}
    outcome = ann("admin", "prove", "--wait", "0", "-o", "json")
    assert outcome.status == 1
    [check] = [one for one in outcome.json["checks"] if one["name"] == "deliveries"]
    assert check["detail"].endswith("1 neither settled nor tried")


def test_events_on_their_way_are_waited_for(ann: Cli, bank: Bank) -> None:
    late = event_set(1, "00")
    bank.event_proofs = [
        {"events": late, "notifications": late},
        {"events": SAME, "notifications": late},
        {"events": SAME, "notifications": SAME},
    ]
    assert ann("admin", "prove").status == 0
    assert [request.query for request in bank.sent("/events/proof")] == [{"until": NOW}] * 3
    assert len(bank.sent("/ledger/proof")) == 1


def test_events_that_wait_are_no_fault_while_payments_go_on(ann: Cli, proven: Bank) -> None:
    proven.ledger_proof_changes = {"outbox_pending": 5}
    assert ann("admin", "prove", "--wait", "0").status == 0


def test_the_events_that_differ_are_named(ann: Cli, bank: Bank) -> None:
    one, two, three, four = (f"0192f0c1-7b3a-7000-8000-{number:010}00" for number in range(4))
    booked = [{"id": one, "digest": "1"}, {"id": two, "digest": "2"}, {"id": three, "digest": "3"}]
    found = [{"id": one, "digest": "1"}, {"id": two, "digest": "x"}, {"id": four, "digest": "4"}]
    bank.ledger_proof_changes = {"events": {**event_set(), "named": booked}}
    bank.event_proofs = [{"events": {**event_set(3, "cd"), "named": found}, "notifications": event_set()}]
    outcome = ann("admin", "prove", "--wait", "0", "-o", "json")
    assert outcome.status == 1
    assert outcome.json["events"]["differences"] == [
        {"set": "events", "id": two, "problem": "is not what the journal says"},
        {"set": "events", "id": three, "problem": "is in the journal and not here"},
        {"set": "events", "id": four, "problem": "is not in the journal"},
    ]
    for path in ("/ledger/proof", "/events/proof"):
        assert bank.sent(path)[-1].query == {"until": NOW, "parts": "0"}


def test_what_came_while_the_proof_ran_is_no_fault(ann: Cli, bank: Bank) -> None:
    late = {"events": event_set(1, "00"), "notifications": event_set(1, "00")}
    bank.event_proofs = [late, {"events": event_set(), "notifications": event_set()}]
    assert ann("admin", "prove", "--wait", "0").status == 0


def test_what_the_notifier_finds_fails_the_proof(ann: Cli, bank: Bank) -> None:
    found = {"id": "event at 3", "problem": "is missing"}
    bank.event_proofs = [{"events": SAME, "notifications": SAME, "mismatches": [found], "holds": False}]
    outcome = ann("admin", "prove", "--wait", "0", "-o", "json")
    details = {check["name"]: check["detail"] for check in outcome.json["checks"]}
    assert (outcome.status, details["event log"]) == (1, "event at 3: is missing")


def test_the_audit_trails_are_proved_against_the_ends_kept_here(ann: Cli, proven: Bank) -> None:
    assert ann("admin", "prove").status == 0
    assert "count" not in proven.sent("/audit/users/proof")[0].query
    proven.audit_faults = {"users": [{"seq": 4, "problem": "was changed"}]}
    outcome = ann("admin", "prove", "-o", "json")
    details = {check["name"]: check["detail"] for check in outcome.json["checks"]}
    assert (outcome.status, details["audit of users"]) == (1, "record 4: was changed")
    assert proven.sent("/audit/users/proof")[1].query["count"] == "7"


def test_books_that_do_not_hold_are_not_waited_for(ann: Cli, proven: Bank) -> None:
    proven.ledger_proof_changes = {"holds": False}
    assert ann("admin", "prove").status == 1
    assert len(proven.sent("/ledger/proof")) == 1


def test_the_outbox_says_what_waits(ann: Cli, bank: Bank) -> None:
    shown = ann("admin", "outbox")
    assert (shown.status, shown.err) == (0, "")
    assert ann("admin", "outbox", "-o", "json").json["pending_events"] == 3
    bank.outbox["relay"]["failure"] = "Kafka does not answer \x1b[31m"
    kept = ann("admin", "outbox", "--quiet")
    assert "events are not published: Kafka does not answer" in kept.err
    assert "\x1b" not in kept.out + kept.err


def test_accounts_are_rebuilt_and_differences_named(ann: Cli, bank: Bank) -> None:
    right = ann("admin", "rebuild-accounts", "--reason", "a restore", "-o", "json")
    assert (right.status, right.err) == (0, "")
    assert right.json == {"accounts": 3, "changed": 0, "removed": 0}
    bank.rebuilt["changed"] = 2
    differed = ann("admin", "rebuild-accounts", "--reason", "a restore")
    assert differed.status == 0
    assert "restart banking_api" in differed.err


def test_an_account_gets_a_name_or_loses_it(ann: Cli, bank: Bank) -> None:
    path = f"/accounts/{ANN}/name"
    assert ann("accounts", "rename", ANN, "rainy days", "-o", "json").json["name"] == "rainy days"
    assert ann("accounts", "rename", ANN, "--remove", "-o", "json").json["name"] is None
    assert [request.body for request in bank.sent(path)] == [{"name": "rainy days"}, {"name": None}]
    for arguments in ((), ("n", "--remove")):
        refused = ann("accounts", "rename", ANN, *arguments, "-o", "json")
        assert (refused.status, refused.problem["code"]) == (2, "usage")
    assert len(bank.sent(path)) == 2


def test_events_that_an_older_database_does_not_know_are_given_up(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANKCTL_YES")
    nothing = ann("admin", "events", "give-up", "--reason", "a backup", "--yes", "-o", "json")
    assert (nothing.status, nothing.json) == (0, {"given_up": 0})
    assert bank.sent("/ledger/events/give-up") == []
    ids = [f"0192f0c1-7b3a-7000-8000-{number:012}" for number in range(501)]
    bank.outbox["unknown_events"] = [
        {"event_id": id_, "type": "TransactionCompleted", "time": "2026-11-29T09:00:00.000Z"} for id_ in ids
    ]
    assert ann("admin", "events", "give-up", "--reason", "a backup").status == 2
    assert bank.sent("/ledger/events/give-up") == []
    refused = ann("admin", "events", "give-up", "--reason", "a backup", "-o", "json")
    assert (refused.status, refused.problem["code"]) == (2, "confirmation_needed")
    assert bank.sent("/ledger/events/give-up") == []
    done = ann("admin", "events", "give-up", "--reason", "a backup", "--yes", "-o", "json")
    assert (done.status, done.json) == (0, {"given_up": 501})
    sent = [request.body for request in bank.sent("/ledger/events/give-up")]
    assert [id_ for body in sent for id_ in body["event_ids"]] == ids
    assert {len(body["event_ids"]) for body in sent} == {500, 1}
    assert {body["reason"] for body in sent} == {"a backup"}


def test_a_notifier_that_has_more_than_the_journal_is_told_in_plain_words(ann: Cli, proven: Bank) -> None:
    booked = proven._ledger_proof()["events"]
    more = event_set(booked["count"] + 2, "cd")
    proven.event_proofs = [{"events": more, "notifications": more}]
    outcome = ann("admin", "prove", "--wait", "0", "-o", "json")
    assert outcome.status == 1
    details = {check["name"]: check["detail"] for check in outcome.json["checks"]}
    assert "2 or more are not in the journal" in details["events received"]
    assert "older copy" in details["events received"]


def test_a_proof_that_comes_with_progress(ann: Cli, proven: Bank) -> None:
    proven.proof_lines = [{"result": proven._ledger_proof()}]
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.json["holds"], outcome.err) == (0, True, "")
    told = proven._ledger_proof()
    shown = {name: told["events"][name] for name in ("count", "digest")}
    assert outcome.json["ledger"] == {**told, "events": shown}


def test_a_proof_that_was_cut_holds_nothing(ann: Cli, proven: Bank) -> None:
    proven.proof_lines = []
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.problem["code"], outcome.out) == (8, "line_cut", "")
    assert len(proven.sent("/ledger/proof")) == 1


def test_a_proof_that_could_not_be_finished_says_why(ann: Cli, proven: Bank) -> None:
    detail = "The database does not answer."
    proven.proof_lines = [{"problem": {"code": "unavailable", "category": "transient", "detail": detail}}]
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.problem["code"], outcome.out) == (8, "unavailable", "")


def test_a_bank_that_is_just_away_is_asked_again(ann: Cli, proven: Bank) -> None:
    def away(_: Request) -> None:
        raise ProblemError(503, "unavailable", "transient")

    proven.once("/ledger/proof", away)
    assert ann("admin", "prove").status == 0
    assert len(proven.sent("/ledger/proof")) == 2


def test_a_terminal_sees_how_far_it_has_come(ann: Cli, proven: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    proven.proof_lines = [{"result": proven._ledger_proof()}]
    monkeypatch.setattr(progress, "progress_is_shown", lambda: True)
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    outcome = ann("admin", "prove", "-o", "json")
    assert (outcome.status, outcome.json["holds"]) == (0, True)
    assert "journal" in outcome.err
    assert "audit" in outcome.err
