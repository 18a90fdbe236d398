"""All of an atomic group is posted or nothing: against what deciding its commands one by one says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from uuid import UUID

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import (
    GroupDecision,
    LedgerAccount,
    Outcome,
    decide_atomic_group,
    decide_group,
)
from daemons.banking_api.domain.journal import JournalTransaction, PostingCommand, TransactionKind
from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.errors import BankError

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
Stored = Mapping[bytes, JournalTransaction]


def accounts() -> dict[str, LedgerAccount]:
    """Alice's accounts and one of Bob's; C is frozen. None has the number that another one has."""
    return {
        id_: LedgerAccount(id_, owner, status, "EUR", balance, sequence, may_overdraw=False)
        for sequence, (id_, owner, status, balance) in enumerate(
            [
                ("A", ALICE, AccountStatus.ACTIVE, 100),
                ("B", ALICE, AccountStatus.ACTIVE, 0),
                ("C", ALICE, AccountStatus.FROZEN, 100),
                ("X", BOB, AccountStatus.ACTIVE, 100),
            ],
            start=3,
        )
    }


def command(sender: str, receiver: str, amount: int, *, key: str) -> PostingCommand:
    return PostingCommand(
        kind=TransactionKind.TRANSFER,
        initiator=ALICE,
        sender_owner=ALICE,
        idempotency_key=key,
        from_account=sender,
        to_account=receiver,
        amount_minor=amount,
        currency="EUR",
        reference=None,
    )


def one_by_one(commands: Sequence[PostingCommand], stored: Stored) -> GroupDecision:
    ids = count(1)
    return decide_group(
        commands, accounts=accounts(), stored=stored, new_id=lambda: UUID(int=next(ids)), now=NOW
    )


def atomic(commands: Sequence[PostingCommand], stored: Stored | None = None) -> GroupDecision:
    ids = count(1)
    return decide_atomic_group(
        commands, accounts=accounts(), stored=stored or {}, new_id=lambda: UUID(int=next(ids)), now=NOW
    )


def codes(decision: GroupDecision) -> list[str]:
    """What each command of a refused group is told."""
    return [one.code if isinstance(one, BankError) else "known" for one in decision.nothing_posted]


ROWS = st.lists(
    st.tuples(st.sampled_from("AABBCX"), st.sampled_from("ABX"), st.integers(1, 60)), min_size=1, max_size=6
)


@given(ROWS, st.sets(st.integers(0, 5)), st.booleans())
def test_all_are_posted_or_nothing_is(rows: list[tuple[str, str, int]], known: set[int], other: bool) -> None:
    commands = [command(*row, key=str(place)) for place, row in enumerate(rows)]
    before = one_by_one(commands, {}).transactions
    stored = {kept.idempotency_id: kept for place, kept in enumerate(before) if place in known}
    if other:
        commands[0] = replace(commands[0], amount_minor=77)
    each = one_by_one(commands, stored)
    decision = atomic(commands, stored)

    reused = [outcome.key_reused for outcome in each.outcomes]
    all_new = not stored and all(outcome.transaction.failure is None for outcome in each.outcomes)
    all_known = len(stored) == len(commands) and not any(reused)
    if all_new or all_known:
        assert decision == each
        assert not decision.nothing_posted
        return
    assert (decision.transactions, decision.changed, decision.outcomes) == ([], {}, [])
    assert decision.doubtful == {found.id: found.sequence for found in accounts().values()}
    for told, outcome in zip(decision.nothing_posted, each.outcomes, strict=True):
        if outcome.key_reused:
            assert isinstance(told, BankError)
            assert told.code == "idempotency_key_reused"
        elif outcome.transaction.idempotency_id in stored:
            assert told == Outcome(stored[outcome.transaction.idempotency_id], replayed=True)
        elif outcome.transaction.failure is not None:
            assert isinstance(told, BankError)
            assert told.code == outcome.transaction.failure.code
        else:
            expected = "atomic_batch_partly_known" if stored else "atomic_batch_refused"
            assert isinstance(told, BankError)
            assert told.code == expected


def test_the_rows_at_fault_have_their_own_reasons() -> None:
    refused = atomic(
        [
            command("A", "B", 60, key="1"),
            command("A", "X", 60, key="2"),
            command("C", "X", 1, key="3"),
            command("X", "A", 1, key="4"),
            command("B", "X", 60, key="5"),
        ]
    )
    assert codes(refused) == [
        "atomic_batch_refused",
        "insufficient_funds",
        "account_frozen",
        "account_not_found",
        "atomic_batch_refused",
    ]


def test_a_row_may_spend_what_the_one_before_brings() -> None:
    decision = atomic([command("A", "B", 60, key="1"), command("B", "X", 60, key="2")])
    assert [outcome.transaction.failure for outcome in decision.outcomes] == [None, None]
    assert {id_: found.balance_minor for id_, found in decision.changed.items()} == {
        "A": 40,
        "B": 0,
        "X": 160,
    }


def test_a_group_sent_again_is_told_as_it_was_whatever_has_become_of_the_accounts() -> None:
    commands = [command("A", "X", 60, key="1"), command("A", "X", 40, key="2")]
    stored = {kept.idempotency_id: kept for kept in atomic(commands).transactions}
    spent = accounts() | {
        "A": LedgerAccount("A", ALICE, AccountStatus.CLOSED, "EUR", 0, 9, may_overdraw=False)
    }
    again = decide_atomic_group(commands, accounts=spent, stored=stored, new_id=lambda: UUID(int=99), now=NOW)
    assert again.outcomes == [Outcome(kept, replayed=True) for kept in stored.values()]
    assert again.transactions == []
