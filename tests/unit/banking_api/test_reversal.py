"""The rule of a reversal: never more than the original, and below zero by force only."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.reversal import Reversal, ReverseTransaction
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.account import Account, Entry, tally_of
from daemons.banking_api.ledger.decide import GroupDecision, decide_group
from daemons.banking_api.ledger.record import Act, Command, Failure, Record
from daemons.banking_api.money import LARGEST_MINOR
from daemons.banking_api.transactions.views import transaction_document
from daemons.contracts.errors import InvalidRequestError, RejectedError
from daemons.contracts.events.table import DATA_MODELS
from daemons.contracts.names import AccountStatus, EventType
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import Actor
from daemons.shared.clock import utc_now
from tests.unit.banking_api.test_decide import ALICE, BOB, NOW, account, banks_own, command, decide
from tests.unit.banking_api.test_withdrawal import BANK, at_counter, withdrawal

OLGA = UUID(int=9)
CLERK = Actor(user_id=OLGA, display_name="Olga", role="operator", address="local", request_id="-")


def a_transfer(amount: int = 30) -> Record:
    """Alice's A pays Bob's B."""
    [made] = decide([command(amount)], [account(), account("B", owner=BOB, balance=0)]).records
    return made


def a_withdrawal(asked: Command | None = None) -> Record:
    asked = asked or withdrawal()
    [made] = decide([asked], [account(), banks_own(BANK)]).records
    return made


def reversal(
    of: Record, amount: str | None = None, *, key: str = "r", force: bool = False, reason: str = "mistake"
) -> Reversal:
    asked = ReverseTransaction(amount=amount, reason=reason, force=force)
    return Reversal.of(of, asked, initiator=OLGA, idempotency_key=key, act=Act(actor=CLERK))


def decided(asked: Sequence[Reversal], *found: Account) -> GroupDecision:
    count = banks_own(tally_of(asked[0].original))
    return decide_group(asked, accounts={one.id: one for one in (count, *found)}, stored={}, now=NOW)


def the_record(asked: Reversal, *found: Account) -> Record:
    [made] = decided([asked], *found).records
    return made


def test_the_whole_goes_back_unless_an_amount_is_named() -> None:
    original = a_transfer()
    made = the_record(reversal(original), account(balance=70), account("B", owner=BOB, balance=30))
    assert made.entries[:2] == (Entry("B", BOB, -30, 0, 1), Entry("A", ALICE, 30, 100, 1))
    assert made.entries[2] == Entry(tally_of(original.id), None, 30, 30, 1)
    part = the_record(reversal(original, "0.10"), account(), account("B", owner=BOB, balance=30))
    assert [entry.amount_minor for entry in part.entries] == [-10, 10, 10]


@pytest.mark.parametrize("asked", [withdrawal(), at_counter()], ids=["elsewhere", "at the counter"])
def test_a_withdrawal_comes_back_through_the_settlement_account(asked: Command) -> None:
    original = a_withdrawal(asked)
    made = the_record(reversal(original), account(balance=0), banks_own(BANK))
    assert made.entries[:2] == (Entry(BANK, None, -30, -30, 1), Entry("A", ALICE, 30, 30, 1))


def test_only_a_completed_transfer_or_withdrawal_is_reversed() -> None:
    [failed] = decide([command(101)], [account(), account("B", owner=BOB)]).records
    again = the_record(reversal(a_transfer()), account(), account("B", owner=BOB, balance=30))
    funded = a_transfer()._replace(kind="funding")
    adjusted = a_transfer()._replace(kind="adjustment")
    for original, what in (
        (failed, "failed"),
        (again, "is of kind reversal"),
        (funded, "is of kind funding"),
        (adjusted, "is of kind adjustment"),
    ):
        with pytest.raises(RejectedError) as refused:
            reversal(original)
        assert refused.value.code == "not_reversible"
        assert refused.value.message.startswith(f"Transaction {original.id} {what}; only a completed")
    asked = ReverseTransaction(amount="0.10", currency="USD", reason="x")
    with pytest.raises(RejectedError) as refused:
        Reversal.of(a_transfer(), asked, initiator=OLGA, idempotency_key="k", act=Act(actor=CLERK))
    assert refused.value.code == "currency_mismatch"
    for amount in ("0", "0.001"):
        with pytest.raises(InvalidRequestError):
            reversal(a_transfer(), amount)


@pytest.mark.parametrize(
    ("asked", "payer", "payee", "code"),
    [
        (reversal(a_transfer(), "0.31"), account("B"), account(), "beyond_original"),
        (reversal(a_transfer(), "0.31", force=True), account("B"), account(), "beyond_original"),
        (reversal(a_transfer()), account("B", balance=29), account(), "insufficient_funds"),
        (reversal(a_transfer()), account("B", status=AccountStatus.CLOSED), account(), "account_closed"),
        (reversal(a_transfer()), account("B"), account(status=AccountStatus.CLOSED), "account_closed"),
        (
            reversal(a_transfer(), force=True),
            account("B", balance=0, status=AccountStatus.CLOSED),
            account(),
            "account_closed",
        ),
        (reversal(a_transfer()), account("B"), account(balance=LARGEST_MINOR), "balance_limit_exceeded"),
        (
            reversal(a_transfer(), force=True),
            account("B", balance=-LARGEST_MINOR + 29),
            account(balance=0),
            "balance_limit_exceeded",
        ),
    ],
)
def test_a_reversal_that_a_rule_refuses_moves_nothing(
    asked: Reversal, payer: Account, payee: Account, code: str
) -> None:
    before = (payer.balance_minor, payee.balance_minor)
    decision = decided([asked], payer, payee)
    [made] = decision.records
    assert made.failure is not None
    assert (made.failure.code, decision.changed) == (code, {})
    assert made.attempt is not None
    assert made.attempt.account_id == "B"
    assert (payer.balance_minor, payee.balance_minor) == before


@pytest.mark.parametrize(("found", "missing"), [([], "B"), ([account("B")], "A"), ([account()], "B")])
def test_an_account_that_is_missing_is_named(found: list[Account], missing: str) -> None:
    made = the_record(reversal(a_transfer()), *found)
    assert made.failure == Failure("account_not_found", f"There is no account {missing}.")


@pytest.mark.parametrize("frozen", ["A", "B"])
def test_it_works_on_frozen_accounts(frozen: str) -> None:
    accounts = [account(), account("B", owner=BOB)]
    for one in accounts:
        if one.id == frozen:
            one.terms = one.terms._replace(status=AccountStatus.FROZEN)
    assert the_record(reversal(a_transfer()), *accounts).failure is None


def test_by_force_an_account_goes_below_zero_and_two_people_are_needed() -> None:
    asked = reversal(a_transfer(), force=True)
    made = the_record(asked, account(), account("B", owner=BOB, balance=5))
    assert made.entries[0] == Entry("B", BOB, -30, -25, 1)
    assert asked.act == Act(actor=CLERK)
    assert (asked.always_by_two, reversal(a_transfer()).always_by_two) == (True, False)
    assert (made.data["overdraws"], made.data["at_most"]) == (True, 30)
    assert Reversal.description(made) == f"Forced reversal of transaction {asked.original}"
    entry = Reversal.audit_entry(made, Act(actor=CLERK))
    assert entry is not None
    assert (entry.after or {})["forced"] is True


def test_a_lack_of_what_is_left_is_told() -> None:
    original = a_transfer()
    decision = decided(
        [reversal(original, "0.25", key="1"), reversal(original, "0.06", key="2")],
        account(),
        account("B", owner=BOB),
    )
    failure = decision.records[1].failure
    assert failure is not None
    assert failure.detail == f"Of {original.id}, 0.05 EUR is left to reverse."


@given(
    st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.integers(0, 15)), min_size=1, max_size=40),
    st.integers(0, 60),
)
def test_in_sum_never_more_is_taken_back_than_was_paid(asked: list[tuple[int, bool, int]], held: int) -> None:
    original = a_transfer(40)
    sender, receiver = account(balance=60), account("B", owner=BOB, balance=held)
    commands = [reversal(original, f"0.{minor:02}", key=str(key), force=force) for minor, force, key in asked]
    decision = decided(commands, sender, receiver)
    done = [made for made in decision.records if made.failure is None]
    taken = sum(made.data["amount"] for made in done)
    assert taken <= 40
    assert (sender.balance_minor, receiver.balance_minor) == (60 + taken, held - taken)
    below = held
    for made in done:
        below -= made.data["amount"]
        assert below >= 0 or made.data["overdraws"]
        assert sum(entry.amount_minor for entry in made.entries[:2]) == 0
        assert made.entries[2].balance_after_minor <= made.data["at_most"] == 40
    assert len(decision.records) == len({key for _, _, key in asked})


def test_all_that_matters_is_in_the_fingerprint() -> None:
    one, other = a_transfer(), a_transfer()
    asked = [
        reversal(one),
        reversal(other),
        reversal(one, "0.29"),
        reversal(one, force=True),
        reversal(one, reason="other"),
    ]
    assert len({each.fingerprint for each in asked}) == len(asked)
    assert reversal(one, "0.30").fingerprint == reversal(one).fingerprint
    assert reversal(one, force=True).content() == f"{one.id}\x0030\x001\x00mistake"


def test_what_a_second_person_carries_out_is_what_was_asked_for() -> None:
    asked = reversal(a_transfer(), "0.20", force=True)
    now = utc_now()
    approval = Approval(
        id=UUID(int=5),
        act=GuardedAct.REVERSE,
        target_kind="account",
        target_id=asked.customers()[0],
        reason=asked.stated(),
        parameters=asked.parameters(),
        requester_id=OLGA,
        requested_by=CLERK.person(),
        requested_at=now,
        expires_at=now,
        idempotency_key="r",
    )
    assert approval.parameters["amount"] == "0.20"
    again = Reversal.requested(approval, Act(actor=CLERK, approval=approval))
    assert replace(again, id=asked.id, act=asked.act) == asked
    assert again.fingerprint == asked.fingerprint


def test_what_is_told_names_the_original_both_ways() -> None:
    original = a_transfer()
    made = the_record(reversal(original), account(), account("B", owner=BOB))
    users = {id_: {"user_id": str(id_), "display_name": None} for id_ in (ALICE, BOB, OLGA)}
    event = KINDS["reversal"].event(made, users)
    assert (event.type, event.key) == (EventType.TRANSACTION_COMPLETED, "B")
    data = DATA_MODELS[event.type].model_validate(event.data)
    assert data.model_dump()["description"] == f"Reversal of transaction {original.id}"
    shown = transaction_document(made)
    assert (shown["reverses"], shown["from_account"], shown["to_account"]) == (str(original.id), "B", "A")
    entry = KINDS["reversal"].audit_entry(made, Act(actor=CLERK))
    assert entry is not None
    assert (entry.action, entry.target_id, entry.reason) == ("reverse", "B", "mistake")
    assert (entry.after or {})["reverses"] == str(original.id)
    back = the_record(reversal(a_withdrawal()), account(), banks_own(BANK))
    entry = KINDS["reversal"].audit_entry(back, Act(actor=CLERK))
    assert entry is not None
    assert entry.target_id == "A"
