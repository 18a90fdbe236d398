"""The rules of posting, against a plain model of balances."""

from datetime import UTC, datetime
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import GroupDecision, LedgerAccount, decide_group, preview_command
from daemons.banking_api.domain.journal import PostingCommand, TransactionKind, TransactionStatus
from daemons.banking_api.domain.money import LARGEST_MINOR
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
