"""Tables on a terminal: nothing that matters is ever split, whatever the width."""

import io
import sys

import pytest

from bankctl.render.column import Column
from bankctl.render.table import print_table

COLUMNS = [
    Column("time", "Time"),
    Column("kind", "Kind"),
    Column("status", "Status"),
    Column("amount", "Amount", "right"),
    Column("currency", "Currency"),
    Column("after", "Balance after", "right"),
    Column("account", "Account"),
    Column("reference", "Reference"),
    Column("failure", "Failure"),
]
ROWS = [
    [
        *("2026-11-23T06:23:31.434Z", "transfer", "completed", "-250.00", "EUR", "750.00", "5917620106"),
        *("Rent [/] for November and December", "-"),
    ],
    [
        *("2026-11-23T06:23:30.578Z", "funding", "failed", "1000000.00", "EUR", "-", "8883674377"),
        *("-", "insufficient_funds"),
    ],
]
WHOLE = ["completed", "-250.00", "750.00", "5917620106", "1000000.00", "insufficient_funds", "transfer"]


def printed(monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(ROWS, COLUMNS, None)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, *range(112, 142), 200])
def test_no_word_number_or_id_is_split(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    text = printed(monkeypatch, width)
    for whole in WHOLE:
        assert whole in text
    assert "[/]" in text
    assert all(len(line.rstrip()) <= max(width, 60) for line in text.splitlines())


def test_a_wide_terminal_has_one_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line in printed(monkeypatch, 200).splitlines() if line.strip()]
    assert len(lines) == 2 + len(ROWS)


def test_a_narrow_one_has_blocks_with_headings(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 60)
    assert "Balance after  750.00" in text
    assert text.count("Account") == 2


def test_times_are_shown_without_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".434" not in printed(monkeypatch, 200)
