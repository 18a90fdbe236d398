"""`bankctl explain`: the parts of both daemons on one screen, and what stays when one of them is away."""

from typing import Any

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, NOW, USER, Bank, ProblemError, Request

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
EXPLANATION: dict[str, Any] = {
    "transaction": {
        "id": ID,
        "kind": "transfer",
        "status": "completed",
        "amount": {"amount": "250.00", "currency": "EUR"},
        "from_account": ANN,
        "to_account": BOB,
        "reference": "Rent\x1b[2J",
        "description": None,
        "created_at": "2026-11-30T09:15:02.125Z",
    },
    "initiated_by": {"user_id": USER, "display_name": "Ann Berg"},
    "checks": [{"rule": "balance", "finding": "1000.00 EUR were there, 250.00 asked for", "passed": True}],
    "entries": [
        {
            "account_id": ANN,
            "owner": {"user_id": USER, "display_name": "Ann Berg"},
            "amount": "-250.00",
            "balance_before": "1000.00",
            "balance_after": "750.00",
            "sequence": 2,
        }
    ],
    "seal": {"number": 17, "hash": "ab" * 32, "sealed_at": NOW},
}
EVENT = {
    "id": ID,
    "type": "TransactionCompleted",
    "partition": 4,
    "offset": 17,
    "position": 9,
    "received_at": NOW,
}
DELIVERY = {
    "state": "failed",
    "channel": "email",
    "recipient": USER,
    "attempts": 2,
    "settled_at": None,
    "due_at": NOW,
    "fault": "the server is away",
}


def test_one_screen_has_all_parts_in_eighty_columns(ann: Cli, bank: Bank) -> None:
    bank.explanations[ID] = EXPLANATION
    bank.events.append(EVENT)
    bank.deliveries.append(DELIVERY)
    outcome = ann("explain", ID)
    assert outcome.status == 0, outcome.err
    for told in (
        "250.00 EUR, completed",
        "1000.00 EUR were there, 250.00 asked for",
        "17, ",
        "ab" * 32,
        "TransactionCompleted, partition 4, offset 17",
        "email to",
        "2 attempts, next try",
        "the server is away",
    ):
        assert told in outcome.out
    assert "\x1b" not in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert ann("explain", ID, "--query", "event.offset").json == 17


def test_what_a_daemon_cannot_say_is_named(ann: Cli, bank: Bank) -> None:
    bank.explanations[ID] = EXPLANATION

    def refuse(request: Request) -> None:
        if request.path.startswith(("/events", "/deliveries")):
            raise ProblemError(403, "forbidden", "forbidden", "This is for staff.")

    bank.hooks.append(refuse)
    outcome = ann("explain", ID, "-o", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["event"] is None
    assert set(outcome.json["missing"]) >= {"event", "deliveries"}
    assert "This is for staff." in ann("explain", ID).out


def test_a_customer_is_not_made_to_ask_for_what_staff_may_see(cli: Cli, ann: Cli, bank: Bank) -> None:
    """Each refusal would stand in the audit."""
    bank.explanations[ID] = EXPLANATION
    bank.role = "user"
    assert cli("login", "--email", "ann@example.com", "--password-stdin", stdin="correct horse\n").status == 0
    asked = len(bank.requests)
    outcome = ann("explain", ID, "-o", "json")
    assert outcome.json["missing"] == dict.fromkeys(("event", "deliveries", "audit"), "for support staff")
    assert bank.paths()[asked:] == [f"/transactions/{ID}/explanation"]


def test_what_is_no_transaction_is_refused(ann: Cli, bank: Bank) -> None:
    assert ann("explain", "17").status == 2
    assert bank.requests == []
