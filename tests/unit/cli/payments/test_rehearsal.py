"""Rehearsing a file: what the bank is asked, and what is told of each row, each account and each currency."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bankctl.payments import rehearsal as rehearsal_module
from bankctl.payments.orders import Order
from bankctl.payments.rehearsal import Rehearsal, Rehearsing
from bankctl.payments.results import ResultsFile, RunIdentity
from bankctl.payments.row_keys import RowKeys, attempt_key
from tests.unit.cli.played_bank import ANN, BANK_ID, BOB, USER

AT = "2020-03-01T10:00:00Z"
CARA = "4000000014"


def order(line: int, amount: str = "1.00", sender: str = ANN, receiver: str = BOB, **more: Any) -> Order:
    request = {"from_account": sender, "to_account": receiver, "amount": amount, "currency": "EUR"}
    if reference := more.get("reference"):
        request["reference"] = reference
    return Order(line, request, {"id": str(line)}, more.get("faults", []), more.get("key"), [])


class Bank:
    """Answers previews: each row by what `outcomes` says of its amount; notes what it was asked."""

    def __init__(self) -> None:
        self.transactions = self
        self.asked: list[tuple[list[dict[str, Any]], dict[str, str]]] = []
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.changes: list[dict[str, str]] = []

    def preview_batch(
        self, transfers: Sequence[Mapping[str, Any]], *, carried: Mapping[str, str]
    ) -> dict[str, Any]:
        self.asked.append(([dict(row) for row in transfers], dict(carried)))
        results = [self._look(index, row) for index, row in enumerate(transfers)]
        return {"results": results[::-1], "carried": self.changes.pop(0) if self.changes else {}}

    def _look(self, index: int, row: Mapping[str, Any]) -> dict[str, Any]:
        usual: dict[str, Any] = {
            "index": index,
            "outcome": "completed",
            "replayed": False,
            "from": {"display_name": "Ann", "balance_after": {"amount": f"9{row['amount']}"}},
            "to": {"display_name": "Bob"},
            "settled_at": None,
            "problem": None,
        }
        return {**usual, **self.outcomes.get(row["amount"], {})}


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def results() -> ResultsFile:
    identity = RunIdentity(bank_id=BANK_ID, user_id=USER, name="march", known_by="")
    return ResultsFile(Path("unused"), identity=identity)


def row_keys() -> RowKeys:
    return RowKeys(bank_id=BANK_ID, user_id=USER, run_name="march")


def rehearse(bank: Bank, results: ResultsFile, *orders: Order, rows_per_slice: int = 100) -> Rehearsal:
    rehearsing = Rehearsing(bank, results, rows_per_slice=rows_per_slice)  # type: ignore[arg-type]
    return rehearsing.rehearse(orders, row_keys())


def test_a_row_is_told_with_all_that_the_bank_says(bank: Bank, results: ResultsFile) -> None:
    asked = order(7, "2.50", reference="rent")
    told = rehearse(bank, results, asked)
    assert bank.asked == [([{"idempotency_key": row_keys().row(asked), **asked.request}], {})]
    assert told.rows == [
        {
            "line": 7,
            "outcome": "would_be_paid",
            "from": ANN,
            "from_name": "Ann",
            "to": BOB,
            "to_name": "Bob",
            "amount": "2.50",
            "currency": "EUR",
            "reference": "rent",
            "balance_after": "92.50",
            "paid_at": None,
            "problem": None,
            "extra": {"id": "7"},
        }
    ]
    assert told.counts == {"would_be_paid": 1, "paid_before": 0, "would_not_be_paid": 0}
    assert told.totals == {"EUR": "2.50"}


def test_a_row_that_would_fail_says_why_and_counts_in_no_sum(bank: Bank, results: ResultsFile) -> None:
    problem = {"code": "insufficient_funds"}
    bank.outcomes["2.00"] = {"outcome": "failed", "problem": problem, "from": None, "to": None}
    told = rehearse(bank, results, order(2, "2.00"))
    (row,) = told.rows
    assert (row["outcome"], row["problem"]) == ("would_not_be_paid", problem)
    assert (row["from_name"], row["to_name"], row["balance_after"]) == (None, None, None)
    assert (told.totals, told.accounts) == ({}, [])
    assert told.counts["would_not_be_paid"] == 1


def test_what_the_bank_paid_before_is_not_paid_again(bank: Bank, results: ResultsFile) -> None:
    bank.outcomes["2.00"] = {
        "replayed": True,
        "settled_at": AT,
        "from": {"display_name": "Ann", "balance_after": None},
    }
    told = rehearse(bank, results, order(2, "2.00"))
    assert (told.rows[0]["outcome"], told.rows[0]["paid_at"]) == ("paid_before", AT)
    assert told.rows[0]["balance_after"] is None
    assert (told.totals, told.counts["paid_before"]) == ({}, 1)


def test_what_this_machine_knows_as_paid_is_not_asked_for(bank: Bank, results: ResultsFile) -> None:
    paid, new = order(2), order(3, "2.00")
    results.rows[row_keys().row(paid)] = {"result": "paid", "settled_at": AT}
    told = rehearse(bank, results, paid, new)
    assert [[row["amount"] for row in rows] for rows, _ in bank.asked] == [["2.00"]]
    first, second = told.rows
    assert (first["line"], first["outcome"], first["paid_at"]) == (2, "paid_before", AT)
    assert (first["amount"], first["from"], first["problem"]) == ("1.00", ANN, None)
    assert second["outcome"] == "would_be_paid"


def test_a_kept_failure_is_asked_for_as_the_next_attempt(bank: Bank, results: ResultsFile) -> None:
    failed = order(3, "2.00")
    row = row_keys().row(failed)
    look, kept = bank._look, {attempt_key(row, 1), attempt_key(row, 2)}

    def look_kept(index: int, sent: Mapping[str, Any]) -> dict[str, Any]:
        if sent["idempotency_key"] in kept:
            return {**look(index, sent), "outcome": "failed", "replayed": True}
        return look(index, sent)

    bank._look = look_kept  # type: ignore[method-assign]
    told = rehearse(bank, results, order(2), failed, order(4, "3.00"))
    assert [[sent["amount"] for sent in rows] for rows, _ in bank.asked] == [
        ["1.00", "2.00", "3.00"],
        ["2.00"],
        ["2.00"],
    ]
    assert bank.asked[2][0][0]["idempotency_key"] == attempt_key(row, 3)
    assert [one["line"] for one in told.rows] == [2, 3, 4]
    assert told.counts["would_be_paid"] == 3


def test_broken_rows_are_told_at_their_place(bank: Bank, results: ResultsFile) -> None:
    broken = order(3, "x", faults=["amount: no number"])
    told = rehearse(bank, results, order(2), broken, order(4))
    assert [row["line"] for row in told.rows] == [2, 3, 4]
    assert told.rows[1]["outcome"] == "would_not_be_paid"
    assert told.rows[1]["problem"]["detail"] == "amount: no number"
    assert len(bank.asked) == 1


def test_a_slice_of_broken_rows_asks_nothing(bank: Bank, results: ResultsFile) -> None:
    told = rehearse(bank, results, order(2, "x", faults=["x"]), order(3), rows_per_slice=1)
    assert [len(rows) for rows, _ in bank.asked] == [1]
    assert [row["line"] for row in told.rows] == [2, 3]


def test_an_answer_that_leaves_out_a_row_is_none(bank: Bank, results: ResultsFile) -> None:
    bank.preview_batch = lambda *_, **__: {"results": [], "carried": {}}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="shorter"):
        rehearse(bank, results, order(2))


class TestCarrying:
    """What earlier rows change is told with the later ones."""

    def test_each_slice_is_told_what_those_before_it_changed(self, bank: Bank, results: ResultsFile) -> None:
        bank.changes = [{ANN: "-2.00", BOB: "2.00"}, {BOB: "3.00", CARA: "1.00"}, {}, {ANN: "9.00"}]
        rehearse(bank, results, *[order(line) for line in range(2, 7)], rows_per_slice=1)
        assert [carried for _, carried in bank.asked] == [
            {},
            {ANN: "-2.00", BOB: "2.00"},
            {BOB: "3.00", CARA: "1.00"},
            {},
            {ANN: "9.00"},
        ]

    def test_of_many_only_the_accounts_of_the_slice_are_sent_and_none_is_lost(
        self, bank: Bank, results: ResultsFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rehearsal_module, "CARRIED_LIMIT", 2)
        bank.changes = [
            {ANN: "1.00", BOB: "2.00"},
            {ANN: "1.00", BOB: "2.00", CARA: "3.00"},
            {BOB: "5.00", CARA: "6.00"},
            {ANN: "4.00", BOB: "7.00"},
        ]
        sides = [(ANN, BOB), (ANN, BOB), (BOB, CARA), (ANN, BOB), (CARA, ANN)]
        orders = [order(line, "1.00", *between) for line, between in enumerate(sides, 2)]
        rehearse(bank, results, *orders, rows_per_slice=1)
        assert [carried for _, carried in bank.asked] == [
            {},
            {ANN: "1.00", BOB: "2.00"},
            {BOB: "2.00", CARA: "3.00"},
            {ANN: "1.00", BOB: "5.00"},
            {ANN: "4.00", CARA: "6.00"},
        ]


class TestSums:
    def row(self, sender: str, receiver: str, amount: str, after: str | None, **more: Any) -> dict[str, Any]:
        return {
            "outcome": "would_be_paid",
            "from": sender,
            "from_name": f"name of {sender}",
            "to": receiver,
            "to_name": f"name of {receiver}",
            "amount": amount,
            "currency": "EUR",
            "balance_after": after,
            **more,
        }

    def test_what_goes_out_and_comes_in_is_told_by_account(self) -> None:
        told = Rehearsal()
        told.add(self.row(ANN, BOB, "10.00", "90.00"))
        told.add(self.row(ANN, BOB, "0.10", "89.90"))
        told.add(self.row(BOB, ANN, "0.20", None))
        told.add(self.row(CARA, ANN, "3.00", None, currency="CHF"))
        told.add({"outcome": "would_not_be_paid", "amount": "x"})
        told.add({"outcome": "paid_before", "amount": "5.00"})
        assert told.totals == {"CHF": "3.00", "EUR": "10.30"}
        assert list(told.totals) == ["CHF", "EUR"]
        assert told.counts == {"would_be_paid": 4, "paid_before": 1, "would_not_be_paid": 1}
        assert len(told.rows) == 6

        def account(number: str, currency: str, **moved: str | None) -> dict[str, Any]:
            unmoved = {"out": None, "in": None, "balance_after": None}
            named = {"account": number, "name": f"name of {number}", "currency": currency}
            return {**named, **unmoved, **moved}

        assert told.accounts == [
            account(BOB, "EUR", out="0.20", **{"in": "10.10"}),
            account(ANN, "CHF", **{"in": "3.00"}),
            # What comes in behind the last row that it pays is added to the balance that is known.
            account(ANN, "EUR", out="10.10", balance_after="90.10", **{"in": "0.20"}),
            account(CARA, "CHF", out="3.00"),
        ]
