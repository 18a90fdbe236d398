"""Tables on a terminal: nothing that matters is ever split, whatever the width."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from bankctl.auth.sign_in import remaining
from bankctl.commands.accounts import _STATEMENT_COLUMNS as STATEMENT
from bankctl.render.table import table_text
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank
from tests.unit.cli.processes import on_terminal


def line(**changes: Any) -> dict[str, Any]:
    return {
        "created_at": "2026-11-23T06:23:31.434Z",
        "kind": "transfer",
        "status": "completed",
        "amount": "-250.00",
        "currency": "EUR",
        "balance_after": "750.00",
        "counterparty": {"display_name": "Bartholomew Featherstonehaugh", "account_id": BOB},
        "reference": "Rent [/] for November and December of the year",
        "failure": None,
        **changes,
    }


ROWS = [
    line(),
    line(
        kind="funding",
        status="failed",
        amount="1000000.00",
        balance_after=None,
        counterparty={"display_name": "\u4e2d\u6587\u540d\u5b57\u5f88\u957f\u5f88\u957f", "account_id": ANN},
        reference=None,
        failure={"code": "insufficient_funds"},
    ),
]


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def printed(
    monkeypatch: pytest.MonkeyPatch, width: int | str, rows: list[dict[str, Any]] | None = None
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    cells = [[str(column.value(row) or "-") for column in STATEMENT] for row in rows or ROWS]
    return table_text(cells, STATEMENT, "Account")


def test_no_number_status_or_time_is_split_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in range(1, 401):
        text = printed(monkeypatch, width)
        for whole in ("2026-11-23", "completed", "-250.00", "1000000.00", "failed"):
            assert whole in text, (width, text)
        if "Kind " not in text or width > 60:
            assert all(cell_len(row.rstrip()) <= width for row in text.splitlines()), (width, text)
        assert "insufficient_funds" in text or "no room for" in text, (width, text)
        assert re.search(r"Bartholomew( Featherstonehaugh|[^ ]*…| F[a-z]*…)", text), (width, text)


def test_a_statement_on_80_columns_has_one_line_for_each_row_with_what_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    title, _, heading, _, first, second, *rest = printed(monkeypatch, 80).splitlines()
    assert title.strip() == "Account"
    assert heading.split()[:4] == ["Time", "Status", "Amount", "With"]
    assert re.search(
        r"2026-11-23 07:23.* completed .* -250\.00 .* Bartholomew F.*… .* Rent \[/\] for N.*…", first
    )
    assert re.search(r"2026-11-23 07:23.* failed .* 1000000\.00 .* \u4e2d\u6587\u540d\u5b57", second)
    assert [part for part in rest if part.strip()] == [
        "no room for: Kind, Account, Failure, Currency, Balance after (-o csv has them)"
    ]


def test_a_wide_terminal_has_everything_on_one_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 250)
    assert len([row for row in text.splitlines() if row.strip()]) == 3 + len(ROWS)
    assert "insufficient_funds" in text
    assert "Rent [/] for November and December of the year" in text
    assert "no room" not in text


def test_a_terminal_too_narrow_for_what_matters_has_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(monkeypatch, 40)
    assert "Balance after  750.00" in text
    assert text.count("Status") == len(ROWS)


@pytest.mark.parametrize("columns", ["0", "-5", "abc", "", "1", "\u00b2", "1.5", "100000", "9" * 400])
@pytest.mark.parametrize("width", [1, 80])
def test_nonsense_for_a_width_is_survived_by_every_kind_of_output(
    ann: Cli, bank: Bank, columns: str, width: int
) -> None:
    if width == 80 or columns in {"0", "1"}:
        environment = {"COLUMNS": columns}
        status, shown = on_terminal(["accounts", "list"], columns=width, environment=environment)
        assert (status, "1000.00" in shown) == (0, True), shown


def test_terminals_of_odd_widths_show_lists_details_help_and_errors(ann: Cli) -> None:
    for width in (1, 7, 400):
        for arguments in (["accounts", "show", ANN], ["transfer", "--help"], ["help", "exit-codes"]):
            status, shown = on_terminal(arguments, columns=width)
            assert status == 0, shown
        status, shown = on_terminal(["acounts"], columns=width)
        assert status == 2
        assert "accounts" in shown


def test_every_list_has_one_line_for_each_row_on_80_columns(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("bankctl.invocation.is_terminal", lambda _: True)
    outcome = ann("accounts", "list", "--no-color")
    assert len([row for row in outcome.out.splitlines() if ANN in row or BOB in row]) == 2
    assert len([row for row in outcome.out.splitlines() if row.strip()]) <= 6


def test_times_are_local_and_show_their_offset_where_the_hour_comes_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        line(created_at=at)
        for at in ("2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z", "2026-10-25T02:30:00.000Z")
    ]
    text = printed(monkeypatch, 300, rows)
    assert re.findall(r"2026-10-25 \S+", text) == [
        "2026-10-25 02:30:00+02:00",
        "2026-10-25 02:30:00+01:00",
        "2026-10-25 03:30:00",
    ]
    assert "02:30+02:00" in printed(monkeypatch, 100, rows)


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ("2026-02-30T00:00:00Z", "2026-02-30T00:00:00Z"),
        ("10000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
        ("2026-11-23T25:00:00Z", "2026-11-23T25:00:00Z"),
        ("2026-11-23T06:23:31+14:00", "2026-11-23T06:23:31+14:00"),
        ("0000-00-00T00:00:00Z", "0000-00-00T00:00:00Z"),
        ("soon", "soon"),
    ],
)
def test_a_date_that_this_zone_cannot_express_is_shown_as_it_came(
    monkeypatch: pytest.MonkeyPatch, at: str, shown: str
) -> None:
    assert shown in printed(monkeypatch, 300, [line(created_at=at)])


def test_the_first_year_behind_the_meridian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    assert "0001-01-01T00:00:00Z" in printed(monkeypatch, 300, [line(created_at="0001-01-01T00:00:00Z")])


@pytest.mark.parametrize(
    "until",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", "10000-01-01T00:00:00Z", "2026-11-23"],
)
def test_a_session_that_ends_at_any_time_is_shown(ann: Cli, bank: Bank, until: str) -> None:
    session = bank._session()
    bank._session = lambda: {**session, "expires_at": until}  # type: ignore[method-assign]
    assert remaining(until)
    outcome = ann("whoami", "-o", "json")
    assert (outcome.status, outcome.json["expires_at"]) == (0, until)
