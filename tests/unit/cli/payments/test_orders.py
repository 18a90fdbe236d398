"""What a row is known by: its content and occurrence, or its key column; never its line or its neighbours."""

import uuid
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from bankctl.payments.orders import Order
from bankctl.payments.row_keys import RowKeys, attempt_key
from tests.unit.cli.played_bank import ANN, BANK_ID, BOB, USER

NAMESPACE = uuid.UUID("6f0c7f0e-9f0f-5d8e-8f4e-6d1c2a5b7e90")

# Few values, so that equal rows are common.
payments = st.builds(
    lambda amount, reference: (amount, reference), st.sampled_from(["1", "2.50", "3"]), st.sampled_from("ab")
)
files = st.lists(payments, max_size=8)


def order(payment: tuple[str, str], *, line: int = 2, key: str | None = None) -> Order:
    amount, reference = payment
    request = {"from_account": ANN, "to_account": BOB, "amount": amount, "currency": "EUR"}
    if reference:
        request["reference"] = reference
    return Order(line, request, {}, [], key, [])


def row_keys(run_name: str = "march", *, bank_id: str = BANK_ID, user_id: str = USER) -> RowKeys:
    return RowKeys(bank_id=bank_id, user_id=user_id, run_name=run_name)


def keys_of(rows: list[tuple[str, str]], run_name: str = "march") -> list[str]:
    keys = row_keys(run_name)
    return [keys.row(order(row, line=line)) for line, row in enumerate(rows, 2)]


@given(files)
def test_equal_rows_have_keys_of_their_own(rows: list[tuple[str, str]]) -> None:
    assert len(set(keys_of(rows))) == len(rows)


@given(files, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[str, str]], random: object) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sorted(keys_of(shuffled)) == sorted(keys_of(rows))


@given(files, payments, st.data())
def test_a_row_that_is_put_in_adds_one_key_and_changes_none(
    rows: list[tuple[str, str]], new: tuple[str, str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows)))
    before, after = set(keys_of(rows)), set(keys_of([*rows[:place], new, *rows[place:]]))
    assert before < after
    assert len(after - before) == 1


@given(files.filter(bool), payments, st.data())
def test_a_row_that_is_mended_takes_one_key_for_another(
    rows: list[tuple[str, str]], mended: tuple[str, str], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    before, after = keys_of(rows), keys_of([*rows[:place], mended, *rows[place + 1 :]])
    assert len(set(before) - set(after)) == len(set(after) - set(before)) == (rows[place] != mended)


def test_keys_stay_what_they_were_in_earlier_versions() -> None:
    """Other keys would pay every file once more."""
    first, second, third = keys_of([("1.50", "rent"), ("1.5", "rent"), ("1.500", "rent")])
    common = f"{BANK_ID}\n{USER}\nmarch\n"
    content = f"{ANN}\x1f{BOB}\x1f1.5\x1fEUR\x1frent"
    assert first == str(uuid.uuid5(NAMESPACE, f"{common}{content}"))
    assert second == str(uuid.uuid5(NAMESPACE, f"{common}{content}\x1f2"))
    assert third == str(uuid.uuid5(NAMESPACE, f"{common}{content}\x1f3"))
    (without,) = keys_of([("20", "")])
    assert without == str(uuid.uuid5(NAMESPACE, f"{common}{ANN}\x1f{BOB}\x1f20\x1fEUR\x1f"))
    assert attempt_key(first, 1) == first
    assert attempt_key(first, 2) == str(uuid.uuid5(NAMESPACE, f"{first}\x1f2"))
    by_column = row_keys().row(order(("1", "rent"), key="A-7"))
    assert by_column == str(uuid.uuid5(NAMESPACE, f"{common}key\x1fA-7"))


def test_a_key_column_alone_tells_rows_apart() -> None:
    keys = row_keys()
    assert keys.row(order(("1", "a"), key="7")) == keys.row(order(("2", "b"), key="7"))
    others = [keys.row(order(("1", "a"), key=key)) for key in ("7", "8", "\udce9", "\udcea")]
    assert len(set(others)) == 4, "nor are keys alike that are no UTF-8"


def test_banks_users_and_runs_have_keys_of_their_own() -> None:
    someone = str(uuid.uuid4())
    every = [row_keys(), row_keys("april"), row_keys(bank_id=someone), row_keys(user_id=someone)]
    assert len({keys.row(order(("1", "a"))) for keys in every}) == len(every)


def test_amounts_that_are_written_otherwise_are_the_same() -> None:
    same = [("10", "a"), ("10.0", "a"), ("10.00", "a")]
    assert len({keys_of([row])[0] for row in same}) == 1
    for some in permutations([("1", "a"), ("10", "a"), ("100", "a")], 2):
        assert len(set(keys_of(list(some)))) == 2
