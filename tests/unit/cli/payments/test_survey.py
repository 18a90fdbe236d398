"""What a file means for its run: new rows, paid ones, and whether somebody has to decide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bankctl.payments.orders import Order
from bankctl.payments.results import ResultsFile, RunIdentity
from bankctl.payments.row_keys import RowKeys
from bankctl.payments.survey import Overview, Survey, request_of
from tests.unit.cli.played_bank import ANN, BANK_ID, BOB, USER

IDENTITY = RunIdentity(bank_id=BANK_ID, user_id=USER, name="march", known_by="")
AT = "2020-03-01T10:00:00"


def order(
    line: int,
    amount: str,
    note: str = "",
    *,
    key: str | None = None,
    reference: str = "",
    faults: Sequence[str] = (),
    currency: str = "EUR",
) -> Order:
    request = {"from_account": ANN, "to_account": BOB, "amount": amount, "currency": currency}
    if reference:
        request["reference"] = reference
    return Order(line, request, {"note": note, "at": ""}, list(faults), key, [])


def broken(line: int) -> Order:
    return order(line, "x", faults=["amount"])


class Run:
    """A run of which results are known."""

    def __init__(self) -> None:
        self.results = ResultsFile(Path("unused"), identity=IDENTITY)

    def keys(self) -> RowKeys:
        return RowKeys(bank_id=BANK_ID, user_id=USER, run_name="march")

    def paid(self, orders: Sequence[Order], *, times: Sequence[str | None] = ()) -> "Run":
        return self._knows("paid", orders, times)

    def failed(self, orders: Sequence[Order]) -> "Run":
        return self._knows("failed", orders, ())

    def _knows(self, result: str, orders: Sequence[Order], times: Sequence[str | None]) -> "Run":
        keys = self.keys()
        for number, one in enumerate(orders):
            if one.faults:
                self.results.broken += 1
                continue
            row = keys.row(one)
            self.results.rows[row] = self._record(result, one, times[number] if times else AT)
            if result != "paid":
                self.results.unpaid.add(row)
        return self

    def _record(self, result: str, one: Order, settled_at: str | None) -> Mapping[str, Any]:
        asked = one.request
        return {
            "result": result,
            "from": asked["from_account"],
            "to": asked["to_account"],
            "amount": asked["amount"],
            "currency": asked["currency"],
            "reference": asked.get("reference"),
            "extra": dict(reversed(one.extra.items())),
            "settled_at": settled_at,
        }

    def survey(self, *orders: Order) -> Survey:
        return Survey(orders, self.keys(), self.results)


def rows(*amounts: str) -> list[Order]:
    return [order(line, amount) for line, amount in enumerate(amounts, 2)]


def test_a_new_run_has_everything_to_pay() -> None:
    survey = Run().survey(*rows("1.00", "2.50"), broken(4))
    assert (survey.rows, survey.paid, survey.paid_otherwise, survey.doubtful) == (3, 0, 0, [])
    assert (survey.to_pay.sound, survey.to_pay.broken) == (2, 1)
    assert (survey.needs_decision, survey.is_mended) == (False, False)


def test_an_overview_says_what_there_is_to_pay() -> None:
    overview = Overview()
    assert str(overview) == "0 payments"
    overview.add(broken(2))
    assert str(overview) == "0 payments; 1 broken rows are left out"
    overview.add(order(3, "0.10"))
    assert str(overview) == "1 payment, 0.10 EUR; 1 broken rows are left out"
    overview.add(broken(9))
    for line, amount, currency in ((4, "0.20", "EUR"), (5, "99999999999999999.05", "CHF")):
        overview.add(order(line, amount, currency=currency))
    assert str(overview) == ("3 payments, 99999999999999999.05 CHF and 0.30 EUR; 2 broken rows are left out")
    assert (overview.sound, overview.broken) == (3, 2)


def test_the_same_file_again_asks_nothing() -> None:
    paid = rows("1.00", "2.00", "1.00")
    survey = Run().paid(paid).survey(*paid)
    assert (survey.paid, survey.rows, survey.to_pay.sound) == (3, 3, 0)
    assert (survey.needs_decision, survey.is_mended, survey.doubtful) == (False, True, [])


class TestMending:
    def test_a_mended_row_takes_the_place_of_a_failed_one(self) -> None:
        run = Run().paid(rows("1.00", "2.00")).failed([order(4, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "9.00"))
        assert (survey.is_mended, survey.needs_decision) == (True, False)
        assert (survey.paid, survey.to_pay.sound) == (2, 1)

    def test_or_that_of_a_broken_one(self) -> None:
        run = Run().paid([*rows("1.00", "2.00"), broken(4), broken(5)])
        assert run.survey(*rows("1.00", "2.00", "9.00"), broken(5)).is_mended
        assert run.survey(*rows("1.00", "2.00", "9.00", "8.00")).is_mended
        more = run.survey(*rows("1.00", "2.00", "3.00", "9.00"), broken(5))
        assert (more.is_mended, more.needs_decision) == (False, False)

    def test_an_unpaid_row_that_is_still_there_is_not_mended(self) -> None:
        """Then what is new came in addition."""
        run = Run().paid(rows("1.00", "2.00")).failed([order(4, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "900.00", "9.00"))
        assert (survey.is_mended, survey.needs_decision) == (False, False)
        run = Run().paid(rows("1.00", "2.00", "3.00")).failed([order(5, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "3.00", "900.00", "9.00"))
        assert (survey.is_mended, survey.needs_decision) == (False, True)

    def test_a_row_that_is_tried_anew_is_not_new(self) -> None:
        run = Run().paid(rows("1.00", "2.00")).failed([order(4, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "900.00"))
        assert (survey.is_mended, survey.needs_decision, survey.to_pay.sound) == (True, False, 1)

    def test_more_broken_rows_than_before_mend_nothing(self) -> None:
        run = Run().paid(rows("1.00", "2.00", "3.00")).failed([order(5, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "3.00", "9.00"), broken(6), broken(7))
        assert (survey.is_mended, survey.needs_decision) == (True, False)

    def test_a_file_that_lacks_a_paid_row_is_another(self) -> None:
        run = Run().paid(rows("1.00", "2.00", "3.00")).failed([order(5, "900.00")])
        survey = run.survey(*rows("1.00", "2.00", "9.00"))
        assert (survey.is_mended, survey.needs_decision) == (False, True)


@pytest.mark.parametrize(
    ("now", "needed"),
    [
        (["1.00", "2.00", "9.00"], True),
        (["1.00", "9.00"], False),
        (["1.00", "8.00", "9.00"], False),
        (["1.00", "2.00"], False),
        (["1.00", "2.00", "8.00", "9.00"], False),
    ],
)
def test_a_file_of_which_more_than_half_was_paid_needs_a_word_if_something_is_new(
    now: list[str], *, needed: bool
) -> None:
    assert Run().paid(rows("1.00", "2.00", "3.00")).survey(*rows(*now)).needs_decision is needed


class TestDoubts:
    """A row like a paid one, with another number or note, may be another payment."""

    def test_a_paid_row_with_another_note_is_doubtful(self) -> None:
        run = Run().paid([order(2, "5.00", "A-1"), order(3, "6.00", "A-2")])
        survey = run.survey(order(2, "5.00", "A-1"), order(3, "6.00", "B-2"))
        assert (survey.doubtful, survey.needs_decision, survey.paid) == ([3], True, 2)

    def test_equal_rows_may_change_places(self) -> None:
        run = Run().paid([order(2, "5.00", "A-1"), order(3, "5.00", "A-2")])
        survey = run.survey(order(2, "5.00", "A-2"), order(3, "5.00", "A-1"))
        assert (survey.doubtful, survey.needs_decision) == ([], False)

    def test_each_note_speaks_for_one_row(self) -> None:
        run = Run().paid([order(2, "5.00", "A-1"), order(3, "5.00", "A-2"), order(4, "7.00", "A-1")])
        survey = run.survey(*[order(line, "5.00", "A-1") for line in (2, 3)], order(4, "7.00", "A-1"))
        assert survey.doubtful == [3]

    def test_doubtful_lines_are_in_order(self) -> None:
        run = Run().paid([order(2, "5.00", "A"), order(3, "6.00", "A"), order(4, "5.00", "A")])
        survey = run.survey(order(2, "5.00", "B"), order(3, "6.00", "B"), order(4, "5.00", "B"))
        assert survey.doubtful == [2, 3, 4]

    def test_a_new_row_in_front_of_its_equal_is_the_new_one(self) -> None:
        run = Run().paid([order(2, "5.00", "A-1"), order(3, "6.00", "A-2")])
        survey = run.survey(
            order(2, "5.00", "A-0"), order(3, "5.00", "A-1"), order(4, "6.00", "A-2"), order(5, "7.00")
        )
        assert (survey.doubtful, survey.paid, survey.to_pay.sound) == ([], 2, 2)

    def test_one_note_clears_one_doubt(self) -> None:
        run = Run().paid([order(2, "5.00", "A-1"), order(3, "5.00", "A-2")])
        survey = run.survey(
            order(2, "5.00", "B-1"), order(3, "5.00", "B-2"), order(4, "5.00", "A-1"), order(5, "5.00", "A-1")
        )
        assert survey.doubtful == [2]
        new = run.survey(*[order(line, "5.00", "B") for line in (2, 3, 4)])
        assert new.doubtful == [2, 3]

    def test_equal_notes_clear_a_doubt_each(self) -> None:
        run = Run().paid([order(2, "5.00", "A"), order(3, "5.00", "A")])
        rows_now = [order(line, "5.00", note) for line, note in enumerate("BBAA", 2)]
        assert run.survey(*rows_now[:3]).doubtful == [2]
        assert run.survey(*rows_now).doubtful == []

    def test_a_key_column_leaves_no_doubt_and_tells_of_other_contents(self) -> None:
        run = Run().paid([order(line, f"{line}.00", "a", key=str(line)) for line in (2, 3, 4)])
        survey = run.survey(
            order(2, "2.50", "a", key="2"),
            order(3, "3.50", "a", key="3"),
            order(4, "4.0", "x", key="4"),
            order(5, "4.00", "a", key="5"),
        )
        assert (survey.doubtful, survey.paid, survey.paid_otherwise) == ([], 3, 2)
        assert survey.to_pay.sound == 1


class TestTelling:
    def test_rows_and_times_are_told(self) -> None:
        paid = rows("1.00", "2.00", "3.00")
        run = Run().paid(paid, times=["2020-03-02T11:00:00", "2020-03-01T10:00:00", None])
        assert run.survey(*paid, order(5, "9.00")).paid_before == (
            "3 of these 4 rows were paid between 2020-03-01 10:00 and 2020-03-02 11:00"
        )
        assert run.survey(paid[1], order(5, "9.00")).paid_before == (
            "1 of these 2 rows was paid at 2020-03-01 10:00"
        )
        assert run.survey(paid[0]).paid_before == "its one row was paid at 2020-03-02 11:00"
        assert run.survey(paid[2]).paid_before == "its one row was paid before"
        assert run.survey(*paid[:2]).paid_before == (
            "2 of these 2 rows were paid between 2020-03-01 10:00 and 2020-03-02 11:00"
        )

    def test_an_unpaid_row_was_not_paid(self) -> None:
        survey = Run().failed(rows("1.00")).survey(*rows("1.00"))
        assert (survey.paid, survey.to_pay.sound) == (0, 1)


def test_what_a_record_asked_for_is_what_its_row_asked_for() -> None:
    record = {"from": ANN, "to": BOB, "amount": "1.00", "currency": "EUR", "reference": "rent", "row": "x"}
    asked = {"from_account": ANN, "to_account": BOB, "amount": "1.00", "currency": "EUR"}
    assert request_of(record) == {**asked, "reference": "rent"}
    assert request_of({**record, "reference": None}) == asked
