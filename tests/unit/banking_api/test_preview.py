"""Looking at rows slice by slice shows what looking at all of them shows, and no more than paying would."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.money import LARGEST_MINOR, format_minor
from daemons.banking_api.transactions.preview import SlicePreview, preview_slice
from daemons.contracts.errors import ConflictError, InvalidRequestError
from daemons.contracts.names import AccountStatus, AccountType

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
OWNERS = {"A": ALICE, "B": ALICE, "C": ALICE, "X": BOB, "Y": BOB}
CURRENCIES = {"A": "EUR", "B": "EUR", "C": "JPY", "X": "EUR", "Y": "JPY"}


def accounts() -> dict[str, Account]:
    return {
        id_: Account(id_, Terms(owner, AccountType.CHECKING, AccountStatus.ACTIVE, CURRENCIES[id_]), 100, 7)
        for id_, owner in OWNERS.items()
    }


def command(sender: str, receiver: str, amount: int, *, key: str, currency: str = "EUR") -> Transfer:
    return Transfer(
        initiator=ALICE,
        idempotency_key=key,
        from_account=sender,
        to_account=receiver,
        amount_minor=amount,
        currency=currency,
        reference=None,
    )


def preview(
    commands: Sequence[Transfer],
    carried: Mapping[str, str] | None = None,
    stored: Mapping[bytes, Record] | None = None,
    *,
    held: dict[str, Account] | None = None,
) -> SlicePreview:
    return preview_slice(
        commands,
        owner=ALICE,
        accounts=held or accounts(),
        stored=dict(stored or {}),
        carried=carried or {},
        now=NOW,
    )


def shown(found: SlicePreview) -> list[tuple[str, str, int | None]]:
    return [
        (row.command.idempotency_key, str(row.outcome.record.failure), row.balance_after_minor)
        for row in found.rows
    ]


ROWS = st.lists(
    st.tuples(st.sampled_from("ABCXY"), st.sampled_from("ABCXY"), st.integers(1, 70)), max_size=30
)


@given(ROWS, st.lists(st.integers(0, 30), max_size=3))
def test_slices_show_what_the_whole_shows(rows: list[tuple[str, str, int]], cuts: list[int]) -> None:
    commands = [
        command(sender, receiver, amount, key=str(place), currency=CURRENCIES[sender])
        for place, (sender, receiver, amount) in enumerate(rows)
    ]
    whole = preview(commands)
    bounds = [0, *sorted(min(cut, len(commands)) for cut in cuts), len(commands)]
    told: list[tuple[str, str, int | None]] = []
    carried: dict[str, str] = {}
    for start, end in pairwise(bounds):
        part = preview(commands[start:end], carried)
        told += shown(part)
        carried = part.carried
    assert told == shown(whole)
    assert carried == whole.carried
    assert set(carried) <= {"A", "B", "C"}


def test_what_is_carried_is_signed_and_in_the_currency_of_the_account() -> None:
    found = preview([command("A", "B", 30, key="1"), command("C", "Y", 5, key="2", currency="JPY")])
    assert found.carried == {"A": "-0.30", "B": "0.30", "C": "-5"}


@pytest.mark.parametrize(
    ("carried", "field"),
    [
        ({"X": "-0.01"}, "carried.X"),
        ({"Z": "-0.01"}, "carried.Z"),
        ({"C": "-0.5"}, "carried.C"),
        ({"A": "-0.001"}, "carried.A"),
        ({"A": "--1"}, "carried.A"),
        ({"A": "0.01"}, "carried"),
        ({"A": "-0.50", "B": "0.51"}, "carried"),
        ({"A": "-0.50", "C": "1"}, "carried"),
    ],
)
def test_what_no_earlier_rows_can_have_done_is_refused(carried: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        preview([command("A", "X", 1, key="1")], carried)
    assert (refused.value.code, refused.value.errors[0].field) == ("invalid_request", field)


def test_earlier_rows_may_have_spent_all_and_filled_an_account_to_the_brim() -> None:
    found = preview(
        [command("A", "X", 1, key="1"), command("B", "X", 1, key="2")], {"A": "-1.00", "B": "1.00"}
    )
    assert [row.balance_after_minor for row in found.rows] == [None, 199]
    brim = format_minor(LARGEST_MINOR - 100, "EUR")
    carried = {"A": f"-{brim}", "B": brim}
    held = accounts() | {"A": replace(accounts()["A"], balance_minor=LARGEST_MINOR)}
    [row] = preview([command("B", "X", 1, key="1")], carried, held=held).rows
    assert row.balance_after_minor == LARGEST_MINOR - 1


def test_rows_may_bring_money_to_an_account_below_zero_and_take_none_from_it() -> None:
    held = accounts() | {"B": replace(accounts()["B"], balance_minor=-50)}
    [row] = preview([command("A", "X", 1, key="1")], {"A": "-0.30", "B": "0.30"}, held=held).rows
    assert row.balance_after_minor == 69
    with pytest.raises(ConflictError) as refused:
        preview([command("A", "X", 1, key="1")], {"B": "-0.01"}, held=held)
    assert refused.value.code == "preview_out_of_date"


def test_what_the_accounts_no_longer_hold_is_out_of_date() -> None:
    with pytest.raises(ConflictError) as refused:
        preview([command("B", "X", 1, key="1")], {"A": "-1.01", "B": "1.01"})
    assert refused.value.code == "preview_out_of_date"


def test_whose_a_foreign_account_s_counterparty_is_is_not_told() -> None:
    [row] = preview([command("X", "Y", 1, key="1")]).rows
    assert row.outcome.record.failure is not None
    assert (row.outcome.record.failure.code, row.from_owner, row.to_owner) == (
        "account_not_found",
        None,
        None,
    )
    [row] = preview([command("A", "X", 1, key="1")]).rows
    assert (row.from_owner, row.to_owner) == (ALICE, BOB)


def test_a_known_key_tells_its_outcome_and_moves_nothing() -> None:
    paid = command("A", "X", 40, key="1")
    kept = preview([paid]).rows[0].outcome.record
    stored = {paid.idempotency_id: kept}
    found = preview(
        [replace(paid, id=UUID(int=1)), command("A", "X", 41, key="1"), command("A", "X", 60, key="2")],
        stored=stored,
    )
    again, other, last = found.rows
    assert (again.outcome.replayed, again.outcome.record, again.balance_after_minor) == (
        True,
        kept,
        None,
    )
    assert (other.outcome.key_reused, other.to_owner) == (True, None)
    assert last.balance_after_minor == 40
    assert not any(row.key_in_use for row in found.rows)


def test_a_key_that_stands_twice_in_the_slice_is_in_use() -> None:
    found = preview([command("A", "X", 40, key="1"), command("A", "X", 40, key="1")])
    assert [row.key_in_use for row in found.rows] == [False, True]
