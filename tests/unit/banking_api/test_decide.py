"""The rules of posting, against a plain model of balances."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.kind import customers_account
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, Entry, Terms, untouched
from daemons.banking_api.ledger.decide import GroupDecision, decide_group
from daemons.banking_api.ledger.record import Accounts, Act, Command, Move, Outcome, Ruling
from daemons.banking_api.money import LARGEST_MINOR
from daemons.banking_api.transactions.preview import preview_command
from daemons.contracts.errors import NotFoundError
from daemons.contracts.names import AccountStatus, AccountType, Direction, RecordStatus
from daemons.shared.audit.record import Actor

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def account(
    id_: str = "A",
    *,
    owner: UUID = ALICE,
    balance: int = 100,
    status: AccountStatus = AccountStatus.ACTIVE,
    currency: str = "EUR",
) -> Account:
    return Account(id_, Terms(owner, AccountType.CHECKING, status, currency), balance, 0)


def command(
    amount: int = 10,
    *,
    sender: str = "A",
    receiver: str = "B",
    by: UUID = ALICE,
    key: str = "k",
    currency: str = "EUR",
) -> Transfer:
    return Transfer(
        initiator=by,
        idempotency_key=key,
        from_account=sender,
        to_account=receiver,
        amount_minor=amount,
        currency=currency,
        reference=None,
    )


def decide(commands: Sequence[Command], accounts: Sequence[Account]) -> GroupDecision:
    return decide_group(commands, accounts={found.id: found for found in accounts}, stored={}, now=NOW)


def outcomes(decision: GroupDecision) -> list[Outcome]:
    return [answer for answer in decision.answers if isinstance(answer, Outcome)]


def banks_own(id_: str, balance: int = 0, sequence: int = 0) -> Account:
    found = untouched(id_)
    assert found is not None
    return replace(found, balance_minor=balance, sequence=sequence)


def test_money_moves_with_both_entries() -> None:
    decision = decide([command(30)], [account(), account("B", owner=BOB, balance=5)])
    [transaction] = decision.records
    assert [
        (e.account_id, e.amount_minor, e.balance_after_minor, e.sequence) for e in transaction.entries
    ] == [
        ("A", -30, 70, 1),
        ("B", 30, 35, 1),
    ]
    assert set(decision.changed) == {"A", "B"}


@pytest.mark.parametrize(
    ("asked", "sender", "receiver", "code"),
    [
        (command(101), account(), account("B"), "insufficient_funds"),
        (command(), account(status=AccountStatus.FROZEN), account("B"), "account_frozen"),
        (command(), account(status=AccountStatus.CLOSED), account("B"), "account_closed"),
        (command(), account(), account("B", status=AccountStatus.FROZEN), "account_frozen"),
        (command(), account(), account("B", status=AccountStatus.CLOSED), "account_closed"),
        (command(), account(owner=BOB), account("B"), "account_not_found"),
        (command(sender="nowhere"), account(), account("B"), "account_not_found"),
        (command(receiver="nowhere"), account(), account("B"), "receiver_not_found"),
        (command(currency="USD"), account(), account("B", currency="USD"), "currency_mismatch"),
        (command(), account(), account("B", currency="USD"), "currency_mismatch"),
        (command(receiver="A"), account(), account("B"), "same_account"),
        (command(), account(), account("B", balance=LARGEST_MINOR), "balance_limit_exceeded"),
    ],
)
def test_every_rule_refuses_and_moves_nothing(
    asked: Command, sender: Account, receiver: Account, code: str
) -> None:
    before = (sender.balance_minor, receiver.balance_minor)
    decision = decide([asked], [sender, receiver])
    [transaction] = decision.records
    assert transaction.failure is not None
    assert transaction.failure.code == code
    assert transaction.status is RecordStatus.FAILED
    assert transaction.entries == ()
    assert decision.changed == {}
    assert (sender.balance_minor, receiver.balance_minor) == before


def test_nobody_pays_into_the_banks_own_account() -> None:
    decision = decide([command(receiver="settlement:EUR")], [account(), banks_own("settlement:EUR")])
    assert decision.records[0].failure is not None
    assert decision.records[0].failure.code == "receiver_not_found"


def test_a_foreign_account_looks_like_none_at_all() -> None:
    foreign = decide([command()], [account(owner=BOB), account("B")]).records[0].failure
    missing = decide([command()], [account("B")]).records[0].failure
    assert foreign == missing


def test_a_refused_command_leaves_its_neighbours_alone() -> None:
    commands = [command(60, key="1"), command(60, key="2"), command(40, key="3")]
    decision = decide(commands, [account(), account("B", owner=BOB, balance=0)])
    assert [outcome.record.status.value for outcome in outcomes(decision)] == [
        "completed",
        "failed",
        "completed",
    ]


def test_the_same_key_in_one_group_posts_once() -> None:
    decision = decide([command(), command(), command(11)], [account(), account("B")])
    assert len(decision.records) == 1
    assert [(o.replayed, o.key_reused) for o in outcomes(decision)] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_keys_are_scoped_to_the_user() -> None:
    accounts = [account(), account("B", owner=BOB), account("C")]
    decision = decide([command(receiver="C"), command(sender="B", receiver="C", by=BOB)], accounts)
    assert len(decision.records) == 2


def test_a_preview_tells_and_changes_nothing() -> None:
    accounts = {"A": account(), "B": account("B", owner=BOB)}
    preview = preview_command(command(30), accounts)
    assert (preview.balance_after_minor, preview.failure, preview.to_owner) == (70, None, BOB)
    assert accounts["A"].balance_minor == 100


def test_a_preview_of_a_foreign_account_tells_nothing() -> None:
    with pytest.raises(NotFoundError):
        preview_command(command(), {"A": account(owner=BOB), "B": account("B")})


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD"), st.integers(1, 60), st.integers(0, 30)),
        max_size=60,
    )
)
def test_money_is_conserved_and_never_negative(orders: list[tuple[str, str, int, int]]) -> None:
    accounts = [account(name, balance=100) for name in "ABCD"]
    commands = [
        command(amount, sender=sender, receiver=receiver, key=str(key))
        for sender, receiver, amount, key in orders
    ]
    decision = decide(commands, accounts)
    assert sum(found.balance_minor for found in accounts) == 400
    assert all(found.balance_minor >= 0 for found in accounts)
    folded = dict.fromkeys("ABCD", 100)
    sequences: dict[str, list[int]] = {name: [] for name in "ABCD"}
    for transaction in decision.records:
        assert sum(entry.amount_minor for entry in transaction.entries) == 0
        for entry in transaction.entries:
            folded[entry.account_id] += entry.amount_minor
            assert entry.balance_after_minor == folded[entry.account_id]
            sequences[entry.account_id].append(entry.sequence)
    for found in accounts:
        assert folded[found.id] == found.balance_minor
        assert sequences[found.id] == list(range(1, found.sequence + 1))
    keys = {order[3] for order in orders}
    assert len(decision.records) == len(keys)


OWN = "adjustment:EUR"


def correction(amount: int = 10, *, debit: bool, corrects: UUID | None = None) -> Adjustment:
    return Adjustment(
        initiator=BOB,
        idempotency_key="k",
        account_id="A",
        direction=Direction.DEBIT if debit else Direction.CREDIT,
        amount_minor=amount,
        currency="EUR",
        reason="booked twice",
        corrects=corrects,
    )


def corrected(ask: Command, found: Account | None) -> GroupDecision:
    own = [banks_own(id_) for id_ in ask.accounts() if id_ != "A"]
    return decide([ask], [*own, *([found] if found else [])])


@pytest.mark.parametrize(("debit", "balance", "own"), [(True, 90, 10), (False, 110, -10)])
@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.FROZEN])
def test_a_correction_moves_money_against_the_banks_own_account_frozen_or_not(
    debit: bool, balance: int, own: int, status: AccountStatus
) -> None:
    decision = corrected(correction(debit=debit, corrects=UUID(int=7)), account(status=status))
    [transaction] = decision.records
    assert transaction.failure is None
    assert (transaction.data["corrects"], customers_account(transaction)) == (UUID(int=7), "A")
    assert (decision.changed["A"].balance_minor, decision.changed[OWN].balance_minor) == (balance, own)
    assert sum(entry.amount_minor for entry in transaction.entries) == 0


@pytest.mark.parametrize(
    ("ask", "found", "code"),
    [
        (correction(101, debit=True), account(), "insufficient_funds"),
        (correction(debit=True), account(status=AccountStatus.CLOSED, balance=0), "account_closed"),
        (correction(debit=False), account(status=AccountStatus.CLOSED, balance=0), "account_closed"),
        (correction(debit=False), account(currency="USD"), "currency_mismatch"),
        (correction(LARGEST_MINOR, debit=False), account(), "balance_limit_exceeded"),
        (correction(debit=False), None, "account_not_found"),
        (correction(debit=True), None, "account_not_found"),
    ],
)
def test_a_correction_that_a_rule_refuses(ask: Command, found: Account | None, code: str) -> None:
    decision = corrected(ask, found)
    [transaction] = decision.records
    assert transaction.failure is not None
    assert transaction.failure.code == code
    assert decision.changed == {}


def test_what_is_corrected_is_part_of_the_request() -> None:
    fingerprints = {
        correction(debit=True, corrects=id_).fingerprint for id_ in (None, UUID(int=1), UUID(int=2))
    }
    assert len(fingerprints) == 3


def test_a_transaction_says_whose_accounts_what_for_and_when() -> None:
    asked = replace(command(30), reference="rent")
    [made] = decide([asked], [account(), account("B", owner=BOB)]).records
    assert (made.id, made.kind, made.at) == (asked.id, "transfer", NOW)
    assert (made.initiator, [entry.owner for entry in made.entries]) == (ALICE, [ALICE, BOB])
    assert made.data == {"from": "A", "to": "B", "amount": 30, "currency": "EUR", "reference": "rent"}
    assert (made.idempotency_id, made.fingerprint) == (asked.idempotency_id, asked.fingerprint)
    assert made.attempt is None


def known(found: Account, sequence: int) -> Account:
    return replace(found, sequence=sequence)


def test_a_failed_transfer_stands_in_its_initiators_history_as_it_was_then() -> None:
    decision = decide(
        [command(60, key="1"), command(60, key="2")],
        [known(account(), 4), known(account("B", owner=BOB), 7)],
    )
    assert decision.records[0].attempt is None
    assert decision.records[1].attempt == Entry("A", ALICE, 0, 40, 5)


def test_an_attempt_on_somebody_elses_account_stands_nowhere() -> None:
    [made] = decide([command()], [account(owner=BOB), account("B")]).records
    assert made.attempt is None
    [made] = decide([command(sender="nowhere")], [account("B")]).records
    assert made.attempt is None


def funding(to_account: str = "A") -> Funding:
    return Funding(
        initiator=BOB,
        idempotency_key="k",
        to_account=to_account,
        amount_minor=10,
        currency="EUR",
        reference=None,
    )


def test_what_staff_tried_to_book_stands_in_the_customers_history() -> None:
    frozen = known(account(status=AccountStatus.FROZEN), 3)
    [made] = decide([funding()], [banks_own("settlement:EUR", sequence=9), frozen]).records
    assert made.failure is not None
    assert made.attempt == Entry("A", ALICE, 0, 100, 3)
    [made] = decide([funding("nowhere")], [banks_own("settlement:EUR")]).records
    assert made.attempt is None


def test_refusals_on_accounts_that_may_lag_have_them_read_first() -> None:
    def lagging(found: Account) -> Account:
        return replace(found, is_exact=False)

    commands = [command(60, key="1"), command(500, sender="C", receiver="D", key="2")]
    accounts = [lagging(account(id_)) for id_ in "ABCD"]
    decision = decide(commands, accounts)
    assert [made.failure is None for made in decision.records] == [True, False]
    assert decision.inexact == {"C", "D"}
    # What has an entry in the group is guarded by its number from there on.
    commands = [command(60, key="1"), command(60, key="2")]
    assert decide(commands, [lagging(account()), lagging(account("B"))]).inexact == set()


def test_a_limit_on_what_one_person_funds_alone_counts_what_was_funded_that_day() -> None:
    def alone(key: str, amount: int, day: str = "2026-11-23") -> Funding:
        return replace(funding(), idempotency_key=key, amount_minor=amount, alone_limit_minor=100, day=day)

    today, tomorrow = alone("1", 60), alone("4", 60, "2026-11-24")
    accounts = [banks_own(today.accounts()[2]), banks_own(tomorrow.accounts()[2])]
    accounts += [banks_own("settlement:EUR"), account()]
    decision = decide([today, alone("2", 41), alone("3", 40), tomorrow], accounts)
    assert [isinstance(answer, Outcome) for answer in decision.answers] == [True, False, True, True]
    assert len(decision.records) == 3


def test_a_preview_of_what_would_fail_says_why_and_no_balance_after() -> None:
    preview = preview_command(command(101), {"A": account(), "B": account("B", owner=BOB)})
    assert preview.failure is not None
    assert (preview.failure.code, preview.balance_after_minor) == ("insufficient_funds", None)
    assert (preview.balance_minor, preview.currency) == (100, "EUR")
    assert (preview.from_owner, preview.to_owner) == (ALICE, BOB)


def test_a_lack_of_funds_says_what_there_is() -> None:
    [made] = decide([command(101)], [account(), account("B")]).records
    assert made.failure is not None
    assert made.failure.detail == "Account A holds 1.00 EUR."


@pytest.mark.parametrize(
    ("amount", "sender", "receiver", "passes"),
    [
        (10, 100, LARGEST_MINOR - 10, True),
        (10, 100, LARGEST_MINOR - 9, False),
    ],
)
def test_a_balance_may_reach_its_limit_and_not_pass_it(
    amount: int, sender: int, receiver: int, passes: bool
) -> None:
    decision = decide([command(amount)], [account(balance=sender), account("B", balance=receiver)])
    assert (decision.records[0].failure is None) is passes


@pytest.mark.parametrize(("owed", "passes"), [(LARGEST_MINOR - 10, True), (LARGEST_MINOR - 9, False)])
def test_the_banks_own_balance_may_reach_its_limit_and_not_pass_it(owed: int, passes: bool) -> None:
    decision = decide([correction(debit=False)], [banks_own(OWN, -owed), account(balance=0)])
    assert (decision.records[0].failure is None) is passes


@pytest.mark.parametrize(("debit", "missing"), [(True, "A"), (False, "A")])
def test_a_correction_names_the_account_that_is_missing(debit: bool, missing: str) -> None:
    [made] = corrected(correction(debit=debit), None).records
    assert made.failure is not None
    assert made.failure.detail == f"There is no account {missing}."


class Printing(Transfer):
    """A rule at fault: it pays out more, or less, than it takes."""

    def decide(self, accounts: Accounts) -> Ruling:
        return [Move(accounts["A"], -10), Move(accounts["B"], self.amount_minor)]


def printing(amount: int) -> Printing:
    asked = command(amount)
    return Printing(**{field.name: getattr(asked, field.name) for field in fields(asked) if field.init})


def test_no_rule_can_make_or_lose_money() -> None:
    for amount in (9, 11, -10):
        with pytest.raises(AssertionError, match=r"must sum to zero in each currency: \{'EUR': "):
            decide([printing(amount)], [account(), account("B", owner=BOB)])
    [made] = decide([printing(10)], [account(), account("B", owner=BOB)]).records
    assert [entry.amount_minor for entry in made.entries] == [-10, 10]
    with pytest.raises(AssertionError, match="'EUR': -10, 'USD': 10"):
        decide([printing(10)], [account(), account("B", currency="USD")])


def test_a_copy_of_an_account_lags_as_the_account_does() -> None:
    lagging = replace(account(), is_exact=False)
    assert lagging.copy() == lagging
    assert account().copy() == account()


def test_the_audit_is_told_of_new_acts_only() -> None:
    actor = Actor(user_id=BOB, display_name="Bob", role="operator", address="127.0.0.1", request_id="r")
    alone, act = command(key="1"), replace(command(key="2"), act=Act(actor=actor))
    decision = decide([alone, act, act], [account(), account("B", owner=BOB)])
    assert decision.acts == [(act, decision.records[1])]
