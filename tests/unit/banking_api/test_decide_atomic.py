"""All of an atomic group is posted or nothing: against what deciding its commands one by one says."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.decide import GroupDecision, Stored, decide_atomic_group, decide_group
from daemons.banking_api.ledger.record import Outcome
from daemons.contracts.errors import BankError
from daemons.contracts.names import AccountStatus, AccountType

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def accounts() -> dict[str, Account]:
    """Alice's accounts and one of Bob's; C is frozen. None has the number that another one has."""
    return {
        id_: Account(
            id_, Terms(owner, AccountType.CHECKING, status, "EUR"), balance, sequence, is_exact=False
        )
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


def command(sender: str, receiver: str, amount: int, *, key: str) -> Transfer:
    return Transfer(
        initiator=ALICE,
        idempotency_key=key,
        from_account=sender,
        to_account=receiver,
        amount_minor=amount,
        currency="EUR",
        reference=None,
    )


def one_by_one(commands: Sequence[Transfer], stored: Stored) -> GroupDecision:
    return decide_group(commands, accounts=accounts(), stored=stored, now=NOW)


def atomic(commands: Sequence[Transfer], stored: Stored | None = None) -> GroupDecision:
    return decide_atomic_group(commands, accounts=accounts(), stored=stored or {}, now=NOW)


def codes(decision: GroupDecision) -> list[str]:
    """What each command of a refused group is told."""
    return [one.code if isinstance(one, BankError) else "known" for one in decision.answers]


ROWS = st.lists(
    st.tuples(st.sampled_from("AABBCX"), st.sampled_from("ABX"), st.integers(1, 60)), min_size=1, max_size=6
)


@given(ROWS, st.sets(st.integers(0, 5)), st.booleans())
def test_all_are_posted_or_nothing_is(rows: list[tuple[str, str, int]], known: set[int], other: bool) -> None:
    commands = [command(*row, key=str(place)) for place, row in enumerate(rows)]
    before = one_by_one(commands, {}).records
    stored = {kept.idempotency_id: kept for place, kept in enumerate(before) if place in known}
    if other:
        commands[0] = replace(commands[0], amount_minor=77, id=UUID(int=77))
    each = one_by_one(commands, stored)
    decision = atomic(commands, stored)

    outcomes = [answer for answer in each.answers if isinstance(answer, Outcome)]
    reused = [outcome.key_reused for outcome in outcomes]
    all_new = not stored and all(outcome.record.failure is None for outcome in outcomes)
    all_known = len(stored) == len(commands) and not any(reused)
    if all_new or all_known:
        assert decision == each
        return
    assert (decision.records, decision.changed) == ([], {})
    assert decision.inexact == set(accounts())
    for told, outcome in zip(decision.answers, outcomes, strict=True):
        if outcome.key_reused:
            assert isinstance(told, BankError)
            assert told.code == "idempotency_key_reused"
        elif outcome.record.idempotency_id in stored:
            assert isinstance(told, Outcome)
            assert told.record == stored[outcome.record.idempotency_id]
        elif outcome.record.failure is not None:
            assert isinstance(told, BankError)
            assert told.code == outcome.record.failure.code
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
    assert [record.failure for record in decision.records] == [None, None]
    assert {id_: found.balance_minor for id_, found in decision.changed.items()} == {
        "A": 40,
        "B": 0,
        "X": 160,
    }


def test_a_group_sent_again_is_told_as_it_was_whatever_has_become_of_the_accounts() -> None:
    commands = [command("A", "X", 60, key="1"), command("A", "X", 40, key="2")]
    stored = {kept.idempotency_id: kept for kept in atomic(commands).records}
    spent = accounts() | {
        "A": Account("A", Terms(ALICE, AccountType.CHECKING, AccountStatus.CLOSED, "EUR"), 0, 9)
    }
    repeated = [replace(sent, id=UUID(int=place)) for place, sent in enumerate(commands)]
    again = decide_atomic_group(repeated, accounts=spent, stored=stored, now=NOW)
    assert again.answers == [Outcome(kept, replayed=True) for kept in stored.values()]
    assert again.records == []
