"""The rule of a withdrawal, and what others see of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.kind import OutsideParty
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.kinds.withdrawal import Withdrawal
from daemons.banking_api.ledger.account import Account, Entry
from daemons.banking_api.ledger.decide import GroupDecision
from daemons.banking_api.ledger.record import Act, Failure, Outcome, Record
from daemons.banking_api.money import LARGEST_MINOR
from daemons.banking_api.transactions.views import transaction_document
from daemons.contracts.events.table import DATA_MODELS
from daemons.contracts.names import AccountStatus, EventType, RecordStatus
from daemons.shared.audit.record import Actor
from tests.unit.banking_api.test_decide import ALICE, BOB, account, banks_own, decide

IBAN = "DE89370400440532013000"
BANK = "settlement:EUR"


def withdrawal(amount: int = 30, **changed: object) -> Withdrawal:
    asked = Withdrawal(
        initiator=ALICE,
        idempotency_key="k",
        from_account="A",
        amount_minor=amount,
        currency="EUR",
        reference="rent",
        name="Zoe Lang",
        iban=IBAN,
    )
    return replace(asked, **changed)  # type: ignore[arg-type]


def at_counter(amount: int = 30, **changed: object) -> Withdrawal:
    return withdrawal(amount, **{"initiator": BOB, "name": None, "iban": None, **changed})


def decided(asked: Withdrawal, *found: Account) -> GroupDecision:
    own = [banks_own(id_) for id_ in asked.accounts() if id_ != "A"]
    return decide([asked], [*own, *found])


def the_record(asked: Withdrawal, *found: Account) -> Record:
    [made] = decided(asked, *found).records
    return made


@pytest.mark.parametrize("asked", [withdrawal(), at_counter()], ids=["elsewhere", "at the counter"])
def test_money_leaves_through_the_settlement_account(asked: Withdrawal) -> None:
    made = the_record(asked, account())
    assert made.entries == (Entry("A", ALICE, -30, 70, 1), Entry(BANK, None, 30, 30, 1))
    assert made.status is RecordStatus.COMPLETED


@pytest.mark.parametrize(
    ("asked", "found", "code"),
    [
        (withdrawal(101), account(), "insufficient_funds"),
        (withdrawal(), account(owner=BOB), "account_not_found"),
        (withdrawal(), account("other"), "account_not_found"),
        (at_counter(), account("other"), "account_not_found"),
        (withdrawal(from_account=BANK), account(), "account_not_found"),
        (at_counter(from_account=BANK), account(), "account_not_found"),
        (withdrawal(), account(status=AccountStatus.FROZEN), "account_frozen"),
        (at_counter(), account(status=AccountStatus.FROZEN), "account_frozen"),
        (withdrawal(), account(status=AccountStatus.CLOSED), "account_closed"),
        (withdrawal(), account(currency="USD"), "currency_mismatch"),
        (at_counter(101), account(), "insufficient_funds"),
    ],
)
def test_a_withdrawal_that_a_rule_refuses_moves_nothing(asked: Withdrawal, found: Account, code: str) -> None:
    decision = decided(asked, found)
    [made] = decision.records
    assert made.failure is not None
    assert (made.failure.code, decision.changed) == (code, {})


def test_an_owner_is_told_of_their_own_accounts_and_staff_of_any() -> None:
    assert the_record(withdrawal(), account(owner=BOB)).failure == Failure(
        "account_not_found", "You have no account A."
    )
    assert the_record(at_counter()).failure == Failure("account_not_found", "There is no account A.")


def test_the_banks_side_reaches_its_limit_and_does_not_pass_it() -> None:
    for owed, passes in ((LARGEST_MINOR - 30, True), (LARGEST_MINOR - 29, False)):
        [made] = decide([withdrawal()], [banks_own(BANK, owed), account()]).records
        assert (made.failure is None) is passes


def test_only_an_owners_attempt_stands_in_the_history_but_any_at_the_counter() -> None:
    assert the_record(withdrawal(101), account()).attempt == Entry("A", ALICE, 0, 100, 0)
    assert the_record(withdrawal(), account(owner=BOB)).attempt is None
    assert the_record(at_counter(101), account()).attempt == Entry("A", ALICE, 0, 100, 0)


def test_all_that_matters_is_in_the_fingerprint() -> None:
    asked = [
        withdrawal(),
        withdrawal(31),
        withdrawal(from_account="B"),
        withdrawal(currency="USD"),
        withdrawal(iban="GB82WEST12345698765432"),
        withdrawal(name="Zoe Long"),
        withdrawal(reference=None),
        withdrawal(reference=""),
        withdrawal(reference="rent "),
        at_counter(),
    ]
    assert len({one.fingerprint for one in asked}) == len(asked)
    assert withdrawal(initiator=BOB).fingerprint == withdrawal().fingerprint


def test_the_fingerprints_that_are_stored_are_of_this_content() -> None:
    assert withdrawal().content() == f"A\x0030\x00EUR\x00{IBAN}\x00Zoe Lang\x00=rent"
    assert at_counter(reference=None).content() == "A\x0030\x00EUR\x00\x00\x00"


def test_a_statement_names_who_got_the_money_elsewhere() -> None:
    assert Withdrawal.outside_party(the_record(withdrawal(), account())) == OutsideParty(IBAN, "Zoe Lang")
    handed_out = the_record(at_counter(), account())
    assert Withdrawal.outside_party(handed_out) is None
    assert Withdrawal.description(handed_out) == "Withdrawal at the counter"
    assert transaction_document(handed_out)["beneficiary"] is None


def test_what_is_told_names_the_beneficiary_and_no_whole_iban() -> None:
    made = the_record(withdrawal(), account())
    kind = KINDS["withdrawal"]
    event = kind.event(made, {ALICE: {"user_id": str(ALICE), "display_name": "Alice"}})
    assert (event.type, event.key) == (EventType.TRANSACTION_COMPLETED, "A")
    data = DATA_MODELS[event.type].model_validate(event.data).model_dump()
    assert (data["kind"], data["description"]) == ("withdrawal", "Withdrawal to Zoe Lang (DE89…3000)")
    assert data["receiver"] == {"account_id": BANK, "owner": None, "sequence": 1}
    assert IBAN not in str(event.data)
    shown = transaction_document(made)
    assert shown["beneficiary"] == {"name": "Zoe Lang", "iban": IBAN}
    assert (shown["from_account"], shown["to_account"], shown["corrects"]) == ("A", None, None)
    failed = the_record(withdrawal(101), account())
    event = kind.event(failed, {ALICE: {"user_id": str(ALICE), "display_name": "Alice"}})
    assert event.type is EventType.TRANSACTION_FAILED
    assert event.data["description"] == "Withdrawal to Zoe Lang (DE89…3000)"


def test_the_audit_keeps_what_was_paid_out_at_the_counter() -> None:
    clerk = Actor(user_id=BOB, display_name="Bob", role="operator", address="local", request_id="-")
    made = the_record(at_counter(act=Act(actor=clerk)), account())
    entry = Withdrawal.audit_entry(made, Act(actor=clerk))
    assert entry is not None
    assert (entry.action, entry.target_id, entry.reason) == ("withdraw", "A", "rent")
    assert (entry.before, (entry.after or {})["balance"]) == ({"balance": "1.00"}, "0.70")


def test_what_one_person_pays_out_alone_is_counted_apart_from_what_they_fund() -> None:
    def alone(key: str, amount: int) -> Withdrawal:
        return at_counter(amount, idempotency_key=key).within(50, "2026-11-30")

    [count] = alone("1", 1).tallies()
    assert ":withdraw:" in count
    found = [banks_own(BANK), banks_own(count), account()]
    decision = decide([alone("1", 30), alone("2", 21), alone("3", 20)], found)
    assert [isinstance(answer, Outcome) for answer in decision.answers] == [True, False, True]


@given(st.lists(st.tuples(st.integers(1, 80), st.booleans()), max_size=40))
def test_what_leaves_the_accounts_is_what_the_settlement_account_gets(asked: list[tuple[int, bool]]) -> None:
    accounts = [account(), banks_own(BANK)]
    commands = [
        (at_counter if counter else withdrawal)(amount, idempotency_key=str(number))
        for number, (amount, counter) in enumerate(asked)
    ]
    decision = decide(commands, accounts)
    paid = sum(made.data["amount"] for made in decision.records if made.failure is None)
    assert (accounts[0].balance_minor, accounts[1].balance_minor) == (100 - paid, paid)
    assert accounts[0].balance_minor >= 0
    assert {made.id for made in decision.records} == {one.id for one in commands}
