"""The rules of posting, against a plain model of balances."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import GroupDecision, LedgerAccount, decide_group
from daemons.banking_api.domain.journal import Entry, PostingCommand, TransactionKind, TransactionStatus
from daemons.banking_api.domain.money import LARGEST_MINOR
from daemons.banking_api.domain.preview import preview_command
from daemons.contracts.errors import NotFoundError

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def account(
    id_: str = "A",
    *,
    owner: UUID = ALICE,
    balance: int = 100,
    status: AccountStatus = AccountStatus.ACTIVE,
    currency: str = "EUR",
) -> LedgerAccount:
    return LedgerAccount(id_, owner, status, currency, balance, 0, may_overdraw=False)


def command(
    amount: int = 10,
    *,
    sender: str = "A",
    receiver: str = "B",
    by: UUID = ALICE,
    key: str = "k",
    currency: str = "EUR",
) -> PostingCommand:
    return PostingCommand(
        kind=TransactionKind.TRANSFER,
        initiator=by,
        sender_owner=by,
        idempotency_key=key,
        from_account=sender,
        to_account=receiver,
        amount_minor=amount,
        currency=currency,
        reference=None,
    )


def decide(commands: list[PostingCommand], accounts: list[LedgerAccount]) -> GroupDecision:
    ids = count(1)
    return decide_group(
        commands,
        accounts={found.id: found for found in accounts},
        stored={},
        new_id=lambda: UUID(int=next(ids)),
        now=NOW,
    )


def test_money_moves_with_both_entries() -> None:
    decision = decide([command(30)], [account(), account("B", owner=BOB, balance=5)])
    [transaction] = decision.transactions
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
    asked: PostingCommand, sender: LedgerAccount, receiver: LedgerAccount, code: str
) -> None:
    before = (sender.balance_minor, receiver.balance_minor)
    decision = decide([asked], [sender, receiver])
    [transaction] = decision.transactions
    assert transaction.failure is not None
    assert transaction.failure.code == code
    assert transaction.status is TransactionStatus.FAILED
    assert transaction.entries == ()
    assert decision.changed == {}
    assert (sender.balance_minor, receiver.balance_minor) == before


def test_nobody_pays_into_the_banks_own_account() -> None:
    settlement = LedgerAccount("settlement:EUR", None, AccountStatus.ACTIVE, "EUR", 0, 0, may_overdraw=True)
    decision = decide([command(receiver="settlement:EUR")], [account(), settlement])
    assert decision.transactions[0].failure is not None
    assert decision.transactions[0].failure.code == "receiver_not_found"


def test_a_foreign_account_looks_like_none_at_all() -> None:
    foreign = decide([command()], [account(owner=BOB), account("B")]).transactions[0].failure
    missing = decide([command()], [account("B")]).transactions[0].failure
    assert foreign == missing


def test_a_refused_command_leaves_its_neighbours_alone() -> None:
    commands = [command(60, key="1"), command(60, key="2"), command(40, key="3")]
    decision = decide(commands, [account(), account("B", owner=BOB, balance=0)])
    assert [outcome.transaction.status.value for outcome in decision.outcomes] == [
        "completed",
        "failed",
        "completed",
    ]


def test_the_same_key_in_one_group_posts_once() -> None:
    decision = decide([command(), command(), command(11)], [account(), account("B")])
    assert len(decision.transactions) == 1
    assert [(o.replayed, o.key_reused) for o in decision.outcomes] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_keys_are_scoped_to_the_user() -> None:
    accounts = [account(), account("B", owner=BOB), account("C")]
    decision = decide([command(receiver="C"), command(sender="B", receiver="C", by=BOB)], accounts)
    assert len(decision.transactions) == 2


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
    for transaction in decision.transactions:
        assert sum(entry.amount_minor for entry in transaction.entries) == 0
        for entry in transaction.entries:
            folded[entry.account_id] += entry.amount_minor
            assert entry.balance_after_minor == folded[entry.account_id]
            sequences[entry.account_id].append(entry.sequence)
    for found in accounts:
        assert folded[found.id] == found.balance_minor
        assert sequences[found.id] == list(range(1, found.sequence + 1))
    keys = {order[3] for order in orders}
    assert len(decision.transactions) == len(keys)


OWN = "adjustment:EUR"


def correction(amount: int = 10, *, debit: bool, corrects: UUID | None = None) -> PostingCommand:
    return PostingCommand(
        kind=TransactionKind.ADJUSTMENT,
        initiator=BOB,
        sender_owner=None,
        idempotency_key="k",
        from_account="A" if debit else OWN,
        to_account=OWN if debit else "A",
        amount_minor=amount,
        currency="EUR",
        reference="booked twice",
        corrects=corrects,
    )


def corrected(ask: PostingCommand, found: LedgerAccount | None) -> GroupDecision:
    own = LedgerAccount(OWN, None, AccountStatus.ACTIVE, "EUR", 0, 0, may_overdraw=True)
    return decide([ask], [own, *([found] if found else [])])


@pytest.mark.parametrize(("debit", "balance", "own"), [(True, 90, 10), (False, 110, -10)])
@pytest.mark.parametrize("status", [AccountStatus.ACTIVE, AccountStatus.FROZEN])
def test_a_correction_moves_money_against_the_banks_own_account_frozen_or_not(
    debit: bool, balance: int, own: int, status: AccountStatus
) -> None:
    decision = corrected(correction(debit=debit, corrects=UUID(int=7)), account(status=status))
    [transaction] = decision.transactions
    assert transaction.failure is None
    assert (transaction.corrects, transaction.customers_account) == (UUID(int=7), "A")
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
def test_a_correction_that_a_rule_refuses(
    ask: PostingCommand, found: LedgerAccount | None, code: str
) -> None:
    decision = corrected(ask, found)
    [transaction] = decision.transactions
    assert transaction.failure is not None
    assert transaction.failure.code == code
    assert decision.changed == {}


def test_a_correction_is_between_a_customer_and_the_bank() -> None:
    between = replace(correction(debit=True), to_account="B")
    decision = decide([between], [account(), account("B", owner=BOB)])
    assert decision.transactions[0].failure is not None


def test_what_is_corrected_is_part_of_the_request() -> None:
    fingerprints = {
        correction(debit=True, corrects=id_).fingerprint for id_ in (None, UUID(int=1), UUID(int=2))
    }
    assert len(fingerprints) == 3


def test_a_transaction_says_whose_accounts_what_for_and_when() -> None:
    asked = replace(command(30), reference="rent")
    [made] = decide([asked], [account(), account("B", owner=BOB)]).transactions
    assert (made.id, made.kind, made.created_at) == (UUID(int=1), TransactionKind.TRANSFER, NOW)
    assert (made.initiator, made.from_owner, made.to_owner) == (ALICE, ALICE, BOB)
    assert (made.from_account, made.to_account) == ("A", "B")
    assert (made.amount_minor, made.currency, made.reference) == (30, "EUR", "rent")
    assert (made.idempotency_id, made.fingerprint) == (asked.idempotency_id, asked.fingerprint)
    assert made.attempt is None


def test_who_owns_what_is_kept_of_a_failed_one_too() -> None:
    [made] = decide([command(101)], [account(), account("B", owner=BOB)]).transactions
    assert (made.from_owner, made.to_owner) == (ALICE, BOB)
    [made] = decide([command(receiver="nowhere")], [account()]).transactions
    assert (made.from_owner, made.to_owner) == (ALICE, None)


def known(found: LedgerAccount, sequence: int) -> LedgerAccount:
    return replace(found, sequence=sequence)


def test_a_failed_transfer_stands_in_its_initiators_history_as_it_was_then() -> None:
    decision = decide(
        [command(60, key="1"), command(60, key="2")],
        [known(account(), 4), known(account("B", owner=BOB), 7)],
    )
    assert decision.transactions[0].attempt is None
    assert decision.transactions[1].attempt == Entry("A", 0, 40, 5)


def test_an_attempt_on_somebody_elses_account_stands_nowhere() -> None:
    [made] = decide([command()], [account(owner=BOB), account("B")]).transactions
    assert made.attempt is None
    [made] = decide([command(sender="nowhere")], [account("B")]).transactions
    assert made.attempt is None


def booked(*, debit: bool) -> PostingCommand:
    own = "settlement:EUR"
    sender, receiver = ("A", own) if debit else (own, "A")
    return replace(
        command(10, sender=sender, receiver=receiver, by=BOB), kind=TransactionKind.FUNDING, sender_owner=None
    )


def test_what_staff_tried_to_book_stands_in_the_customers_history() -> None:
    bank = LedgerAccount("settlement:EUR", None, AccountStatus.ACTIVE, "EUR", 0, 9, may_overdraw=True)
    frozen = known(account(status=AccountStatus.FROZEN), 3)
    for debit in (True, False):
        [made] = decide([booked(debit=debit)], [bank, frozen]).transactions
        assert made.failure is not None
        assert made.attempt == Entry("A", 0, 100, 3)
    [made] = decide([replace(booked(debit=False), to_account="nowhere")], [bank]).transactions
    assert made.attempt is None


def test_refusals_rest_on_accounts_as_they_were_known_before_the_group() -> None:
    decision = decide(
        [command(60, key="1"), command(60, key="2"), command(500, sender="B", by=BOB, receiver="C", key="3")],
        [known(account(), 4), known(account("B", owner=BOB), 7), known(account("C"), 1)],
    )
    assert [made.failure is None for made in decision.transactions] == [True, False, False]
    assert decision.doubtful == {"A": 4, "B": 7, "C": 1}
    assert decide([command()], [account(), account("B")]).doubtful == {}


def test_a_preview_of_what_would_fail_says_why_and_no_balance_after() -> None:
    preview = preview_command(command(101), {"A": account(), "B": account("B", owner=BOB)})
    assert preview.failure is not None
    assert (preview.failure.code, preview.balance_after_minor) == ("insufficient_funds", None)
    assert (preview.balance_minor, preview.currency) == (100, "EUR")
    assert (preview.from_owner, preview.to_owner) == (ALICE, BOB)


def test_a_lack_of_funds_says_what_there_is() -> None:
    [made] = decide([command(101)], [account(), account("B")]).transactions
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
    assert (decision.transactions[0].failure is None) is passes


@pytest.mark.parametrize(("owed", "passes"), [(LARGEST_MINOR - 10, True), (LARGEST_MINOR - 9, False)])
def test_the_banks_own_balance_may_reach_its_limit_and_not_pass_it(owed: int, passes: bool) -> None:
    own = LedgerAccount(OWN, None, AccountStatus.ACTIVE, "EUR", -owed, 0, may_overdraw=True)
    decision = decide([correction(debit=False)], [own, account(balance=0)])
    assert (decision.transactions[0].failure is None) is passes


@pytest.mark.parametrize(("debit", "missing"), [(True, "A"), (False, "A")])
def test_a_correction_names_the_account_that_is_missing(debit: bool, missing: str) -> None:
    [made] = corrected(correction(debit=debit), None).transactions
    assert made.failure is not None
    assert made.failure.detail == f"There is no account {missing}."
