"""What the journal keeps of each kind, and what the audit tells of it, field by field."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.change import ChangeOfAccount
from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.describe import ChangeType, Rename
from daemons.banking_api.kinds.freeze import Freeze
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.kind import concerned
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.kinds.staff import beyond_alone_limit
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.account import Account, Entry, Terms, tally, tally_of, untouched
from daemons.banking_api.ledger.decide import GroupDecision, decide_group
from daemons.banking_api.ledger.record import Act, Command, Data, Record
from daemons.banking_api.transactions.views import transaction_document
from daemons.contracts.errors import BankError, Category
from daemons.contracts.names import AccountStatus, AccountType, Direction
from daemons.contracts.wire import format_instant
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import Actor, AuditEntry

ALICE, OLGA = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, 5, 6, 7, tzinfo=UTC)
A = "1000000009"
SETTLEMENT, ADJUSTING = "settlement:EUR", "adjustment:EUR"
TERMS = Terms(ALICE, AccountType.SAVINGS, AccountStatus.ACTIVE, "EUR", name="rainy days", opened_at=NOW)
BY: dict[str, Any] = {"initiator": OLGA, "idempotency_key": "k"}
ACTOR = Actor(user_id=OLGA, display_name="Olga", role="operator", address="127.0.0.1", request_id="r")
APPROVAL = Approval(
    id=UUID(int=5),
    act=GuardedAct.ADJUST,
    target_kind="account",
    target_id=A,
    reason="deposited twice",
    parameters={},
    requester_id=OLGA,
    requested_by=ACTOR.person(),
    requested_at=NOW,
    expires_at=NOW + timedelta(hours=24),
    idempotency_key="k",
)


def account(balance: int = 100, sequence: int = 3, **terms: Any) -> Account:
    return Account(A, TERMS._replace(**terms), balance, sequence)


def funding(**changed: Any) -> Funding:
    asked = Funding(to_account=A, amount_minor=40, currency="EUR", reference="cash", **BY)
    return replace(asked, **changed)


def adjustment(**changed: Any) -> Adjustment:
    asked = Adjustment(
        account_id=A,
        direction=Direction.CREDIT,
        amount_minor=40,
        currency="EUR",
        reason="deposited twice",
        corrects=UUID(int=7),
        **BY,
    )
    return replace(asked, **changed)


def opening(**changed: Any) -> Opening:
    asked = Opening(
        numbers=(A, "1000000018"),
        type=AccountType.SAVINGS,
        currency="EUR",
        name="rainy days",
        most_per_user=None,
        opened_at=NOW,
        **BY,
    )
    return replace(asked, **changed)


def freeze(**changed: Any) -> Freeze:
    return replace(Freeze(account_id=A, reason="fraud check", **BY), **changed)


def decided(command: Command, *found: Account) -> GroupDecision:
    accounts = {one.id: one for one in found}
    for id_ in command.accounts():
        own = untouched(id_)
        if own is not None:
            accounts.setdefault(id_, own)
    return decide_group([command], accounts=accounts, stored={}, now=NOW)


def kept(command: Command, *found: Account) -> Record:
    [record] = decided(command, *found).records
    return record


def audited(command: Command, *found: Account, approval: Approval | None = None) -> AuditEntry | None:
    record = kept(command, *found)
    return KINDS[record.kind].audit_entry(record, Act(actor=ACTOR, approval=approval))


def money(**changed: Any) -> Data:
    told = {"from": SETTLEMENT, "to": A, "amount": 40, "currency": "EUR", "reference": "cash"}
    return {**told, **changed}


def terms(**changed: Any) -> dict[str, Any]:
    told = {
        "type": "savings",
        "status": "active",
        "status_reason": None,
        "currency": "EUR",
        "name": "rainy days",
        "opened_at": NOW,
    }
    return {**told, **changed}


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (funding(), money()),
        (
            adjustment(),
            money(**{"from": ADJUSTING}, reference="deposited twice", corrects=UUID(int=7)),
        ),
        (
            adjustment(direction=Direction.DEBIT, corrects=None),
            money(**{"from": A}, to=ADJUSTING, reference="deposited twice", corrects=None),
        ),
        (
            freeze(),
            {
                "account": A,
                "reason": "fraud check",
                "before": terms(),
                "after": terms(status="frozen", status_reason="fraud check"),
            },
        ),
        (
            ChangeType(account_id=A, new_type=AccountType.CHECKING, **BY),
            {"account": A, "reason": None, "before": terms(), "after": terms(type="checking")},
        ),
        (
            Rename(account_id=A, name=None, **BY),
            {"account": A, "reason": None, "before": terms(), "after": terms(name=None)},
        ),
    ],
    ids=lambda value: value.kind if isinstance(value, Command) else "",
)
def test_a_record_keeps_what_was_asked_and_what_it_changed(command: Command, data: Data) -> None:
    made = kept(command, account())
    assert made.data == data
    assert (made.kind, made.failure, made.at) == (command.kind, None, NOW)


def test_an_opening_keeps_all_the_terms_of_the_first_number_that_is_free() -> None:
    taken = account()
    made = kept(opening(), taken)
    number = "1000000018"
    assert made.data == {"account": number, "reason": None, "before": None, "after": terms()}
    opened, counted = made.entries
    assert (opened.account_id, opened.amount_minor, opened.sequence) == (number, 0, 0)
    assert opened.change == {
        "owner": OLGA,
        "type": "savings",
        "status": "active",
        "currency": "EUR",
        "name": "rainy days",
        "status_reason": None,
        "opened_at": NOW,
    }
    assert (counted.account_id, counted.sequence) == (f"tally:accounts:{OLGA}", 1)
    [refused] = decided(opening(numbers=(A,)), taken).answers
    assert isinstance(refused, BankError)
    assert (refused.code, refused.category) == ("unavailable", Category.TRANSIENT)


@pytest.mark.parametrize("command", [funding(), adjustment()], ids=["funding", "adjustment"])
def test_what_staff_tried_to_book_stands_on_the_customers_account(command: Command) -> None:
    closed = account(status=AccountStatus.CLOSED)
    made = kept(command, closed)
    assert made.failure is not None
    assert made.failure.code == "account_closed"
    assert made.attempt == Entry(A, ALICE, 0, 100, 3)
    assert list(concerned(made)) == [OLGA, ALICE]
    missing = kept(command)
    assert missing.failure is not None
    assert (missing.failure.code, missing.attempt) == ("account_not_found", None)
    assert list(concerned(missing)) == [OLGA]


def test_a_transaction_is_shown_with_what_is_particular_to_its_kind() -> None:
    asked = adjustment()
    shown = {
        "id": str(asked.id),
        "kind": "adjustment",
        "status": "completed",
        "amount": {"amount": "0.40", "currency": "EUR"},
        "from_account": None,
        "to_account": A,
        "reference": "deposited twice",
        "description": None,
        "corrects": str(UUID(int=7)),
        "reverses": None,
        "beneficiary": None,
        "failure": None,
        "initiated_by": str(OLGA),
        "created_at": format_instant(NOW),
    }
    assert transaction_document(kept(asked, account())) == shown
    debit = adjustment(direction=Direction.DEBIT, amount_minor=101, corrects=None)
    assert transaction_document(kept(debit, account())) == {
        **shown,
        "id": str(debit.id),
        "status": "failed",
        "amount": {"amount": "1.01", "currency": "EUR"},
        "from_account": A,
        "to_account": None,
        "corrects": None,
        "failure": {"code": "insufficient_funds", "detail": f"Account {A} holds 1.00 EUR."},
    }


def test_nobody_tries_to_correct_the_banks_own_account() -> None:
    made = kept(adjustment(account_id=SETTLEMENT))
    assert made.failure is not None
    assert (made.failure.code, made.attempt) == ("account_not_found", None)


def test_a_funding_that_is_in_another_currency_is_refused_whatever_the_balance() -> None:
    made = kept(funding(), account(currency="USD"))
    assert made.failure is not None
    assert made.failure.code == "currency_mismatch"


def test_a_correction_stands_in_the_history_of_what_it_corrects() -> None:
    entries = kept(adjustment(), account()).entries
    assert [(entry.account_id, entry.amount_minor) for entry in entries] == [
        (ADJUSTING, -40),
        (A, 40),
        (tally_of(UUID(int=7)), 0),
    ]
    assert tally_of(UUID(int=7)) == f"tally:of:{UUID(int=7)}"


def test_what_one_person_books_alone_is_counted_by_act_person_currency_and_day() -> None:
    counted = funding().within(100, "2026-11-23")
    name = f"tally:alone:fund:{OLGA}:EUR:2026-11-23"
    assert counted.accounts() == (SETTLEMENT, A, name)
    assert funding().accounts() == (SETTLEMENT, A)
    assert tally("alone", "fund", OLGA, "EUR", "2026-11-23") == name
    assert kept(counted, account()).entries[-1] == Entry(name, None, 40, 40, 1)
    used = untouched(name)
    assert used is not None
    last = kept(counted, account(), replace(used, balance_minor=60, sequence=9))
    assert last.entries[-1] == Entry(name, None, 40, 100, 10)
    beyond = decided(counted, account(), replace(used, balance_minor=61, sequence=9))
    [refused] = beyond.answers
    assert isinstance(refused, BankError)
    assert (refused.code, beyond.records, beyond.changed) == ("beyond_alone_limit", [], {})
    assert beyond_alone_limit().category is Category.INTERNAL


def test_the_audit_tells_what_staff_booked_and_how_the_balance_became() -> None:
    asked = funding()
    assert audited(asked, account()) == AuditEntry(
        at=NOW,
        actor=ACTOR,
        action="fund",
        target_kind="account",
        target_id=A,
        reason="cash",
        before={"balance": "1.00"},
        after={
            "transaction_id": str(asked.id),
            "status": "completed",
            "failure": None,
            "amount": "0.40",
            "currency": "EUR",
            "balance": "1.40",
        },
    )


def test_the_audit_tells_what_a_rule_refused_staff_and_who_had_asked() -> None:
    asked = adjustment(direction=Direction.DEBIT, amount_minor=101)
    assert audited(asked, account(), approval=APPROVAL) == AuditEntry(
        at=NOW,
        actor=ACTOR,
        action="adjust",
        target_kind="account",
        target_id=A,
        reason="deposited twice",
        before=None,
        after={
            "transaction_id": str(asked.id),
            "status": "failed",
            "failure": "insufficient_funds",
            "amount": "1.01",
            "currency": "EUR",
            "direction": "debit",
            "corrects": str(UUID(int=7)),
        },
        approval={
            "id": str(UUID(int=5)),
            "requested_by": {"user_id": str(OLGA), "display_name": "Olga", "role": "operator"},
            "requested_at": format_instant(NOW),
        },
    )
    credit = audited(adjustment(corrects=None), account())
    assert credit is not None
    assert credit.after is not None
    assert (credit.after["direction"], credit.after["corrects"]) == ("credit", None)


def test_the_audit_tells_what_staff_changed_on_an_account_but_not_what_its_owner_does() -> None:
    told = {"type": "savings", "status": "active", "status_reason": None, "name": "rainy days"}
    assert audited(freeze(), account(), approval=APPROVAL) == AuditEntry(
        at=NOW,
        actor=ACTOR,
        action="freeze",
        target_kind="account",
        target_id=A,
        reason="fraud check",
        before=told,
        after={**told, "status": "frozen", "status_reason": "fraud check"},
        approval=APPROVAL.audit_fields(),
    )
    without = audited(freeze(), account())
    assert without is not None
    assert without.approval is None
    own = account(0, owner=OLGA)
    assert audited(Close(account_id=A, scope=OLGA, **BY), own) is None
    assert audited(opening()) is None


@pytest.mark.parametrize("command", [funding(reference=None), adjustment(), adjustment(corrects=None)])
def test_what_a_second_person_carries_out_is_what_was_asked(command: Funding | Adjustment) -> None:
    approval = replace(APPROVAL, parameters=command.parameters())
    act = Act(actor=ACTOR, approval=approval)
    same = type(command).requested(approval, act)
    assert (same.fingerprint, same.idempotency_id) == (command.fingerprint, command.idempotency_id)
    assert same.act is act
    with pytest.raises(ValueError, match="has an idempotency key"):
        type(command).requested(replace(approval, idempotency_key=None), act)


def test_a_request_holds_plain_values() -> None:
    assert adjustment().parameters() == {
        "account_id": A,
        "amount": "0.40",
        "currency": "EUR",
        "direction": "credit",
        "reason": "deposited twice",
        "corrects": str(UUID(int=7)),
    }
    assert funding().within(100, "2026-11-23").parameters() == {
        "to_account": A,
        "amount": "0.40",
        "currency": "EUR",
        "reference": "cash",
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (freeze(), freeze(reason="court order")),
        (freeze(), freeze(account_id="1000000018")),
        (Rename(account_id=A, name=None, **BY), Rename(account_id=A, name="", **BY)),
        (Rename(account_id=A, name="a", **BY), Rename(account_id=A, name="b", **BY)),
        (
            ChangeType(account_id=A, new_type=AccountType.CHECKING, **BY),
            ChangeType(account_id=A, new_type=AccountType.SAVINGS, **BY),
        ),
        (opening(), opening(name=None)),
        (opening(name=None), opening(name="")),
        (opening(), opening(currency="USD")),
        (opening(), opening(type=AccountType.CHECKING)),
    ],
)
def test_another_change_has_another_fingerprint(one: Command, other: Command) -> None:
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("command", "content"),
    [
        (funding(), f"{A}\x0040\x00EUR\x00=cash"),
        (funding(reference=None), f"{A}\x0040\x00EUR\x00"),
        (adjustment(), f"{A}\x00credit\x0040\x00EUR\x00{UUID(int=7)}\x00deposited twice"),
        (adjustment(corrects=None), f"{A}\x00credit\x0040\x00EUR\x00\x00deposited twice"),
        (opening(), "savings\x00EUR\x00=rainy days"),
        (opening(name=None), "savings\x00EUR\x00"),
        (freeze(), f"{A}\x00fraud check"),
        (Close(account_id=A, **BY), f"{A}\x00"),
        (Rename(account_id=A, name="a", **BY), f"{A}\x00=a"),
        (Rename(account_id=A, name=None, **BY), f"{A}\x00"),
        (ChangeType(account_id=A, new_type=AccountType.CHECKING, **BY), f"{A}\x00checking"),
    ],
)
def test_the_fingerprints_that_are_stored_are_of_this_content(command: Command, content: str) -> None:
    """With another recipe every repeated request would be taken for another one under the same key."""
    assert command.content() == content


def test_the_number_of_an_opening_is_no_part_of_what_is_asked() -> None:
    assert opening().fingerprint == opening(numbers=("1000000027",), most_per_user=5).fingerprint


def test_a_change_of_somebody_elses_account_looks_like_one_of_none() -> None:
    def code(command: ChangeOfAccount, *found: Account) -> tuple[str, str]:
        [refused] = decided(command, *found).answers
        assert isinstance(refused, BankError)
        return refused.code, refused.message

    foreign = Rename(account_id=A, scope=OLGA, name="mine", **BY)
    assert code(foreign, account()) == code(foreign) == ("account_not_found", f"You have no account {A}.")
