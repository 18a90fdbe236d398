"""CSV: the data as it is, absent told from empty, and nothing that a spreadsheet runs."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bankctl.render.csv import csv_line
from bankctl.render.text import clean
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, Bank

# What OWASP lists, alone, behind blanks and in full width.
RUN = [
    "=1+1",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    " =1",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "-",
    "=",
    "-5,00",
]
NUMBERS = ["-250.00", "+3", "0", "-1", "12.50", "-0.01", "4000000006"]


def read(line: str) -> list[str]:
    (row,) = csv.reader(io.StringIO(line))
    return row


@pytest.mark.parametrize("text", RUN)
def test_what_a_spreadsheet_would_run_has_an_apostrophe_in_front(text: str) -> None:
    (cell, _) = read(csv_line([text, "x"]))
    assert cell == f"'{clean(text)}"


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_stay_numbers(number: str) -> None:
    assert csv_line([number, "x"]) == f"{number},x"


def test_absent_and_empty_are_told_apart() -> None:
    assert csv_line([None, "", "x", False]) == ',"",x,no'
    # Readers skip blank lines.
    assert csv_line([None]) == '""'


@given(st.lists(st.text(), min_size=2, max_size=5))
def test_every_text_can_be_read_back_and_none_is_run(values: list[str]) -> None:
    for value, cell in zip(values, read(csv_line(values)), strict=True):
        # One apostrophe in front is always ours.
        assert cell.removeprefix("'") == clean(value)
        assert not cell.lstrip()[:1] or cell.lstrip()[0] not in "=@" or cell[0] == "'"


@pytest.mark.parametrize("value", [{"a": 1}, ["=x"], 5, 1.5])
def test_other_values_are_written_as_json(value: Any) -> None:
    assert read(csv_line([value, "x"]))[0] in {'{"a": 1}', '["=x"]', "5", "1.5"}


def test_a_name_that_would_run_is_guarded_in_the_output_of_a_command(ann: Cli, bank: Bank) -> None:
    bank.names[ANN] = '=HYPERLINK("http://evil","x")'
    row = next(csv.DictReader(io.StringIO(ann("accounts", "list", "-o", "csv").out)))
    assert row["name"] == "'" + bank.names[ANN]
    bank.names[ANN] = ""
    shown = ann("accounts", "show", ANN, "-o", "csv").out.splitlines()[1]
    assert shown.startswith(f'{ANN},"",checking,')
    assert shown.endswith(",")
