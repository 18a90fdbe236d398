"""Payment orders: the rows of a table, each checked before it is sent."""

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

from bankctl.errors import usage_error
from daemons.contracts.vocabulary import (
    fault_of_account,
    fault_of_amount,
    fault_of_currency,
    fault_of_reference,
)

COLUMNS = ("from", "to", "amount", "currency", "reference")
REQUIRED = frozenset(COLUMNS[:4])
REASON_COLUMN = "reason_not_paid"
"""The column that the file of unpaid rows has in addition; reading ignores it."""
# Three digits behind a comma may be thousands; one or two cannot.
_DECIMAL_COMMA = re.compile(r"(0|[1-9][0-9]*),([0-9]{1,2})")


class Order(NamedTuple):
    """One row: its line in the file, its request if it can be sent, else its faults.

    `key` is the cell of the key column, None if rows are known by their content; `cells` are all of its
    cells as they stand in the file, but for the reason that an earlier run wrote.
    """

    line: int
    request: dict[str, str]
    extra: dict[str, str]
    faults: list[str]
    key: str | None
    cells: list[str]


class Columns:
    """Where a row's cells stand; a file may have millions of rows, so it is found out once."""

    def __init__(self, header: Sequence[str], *, name: str, separator: str, key_column: str | None) -> None:
        """Understand the header of the file that is spoken of under this name.

        Raises:
            CliError: it lacks a column, or has two of one name.
        """
        names = column_names(header)
        self.header = list(header)
        self.key_column = None
        self._separator = separator
        self._count = len(names)
        self._reason = names.index(REASON_COLUMN) if REASON_COLUMN in names else None
        if self._reason is not None:
            del self.header[self._reason]
        self._check(names, name)
        self._has_no_reference = COLUMNS[-1] not in names
        # Then an empty cell is put behind the last one.
        self._pick = itemgetter(
            *(names.index(column) if column in names else self._count for column in COLUMNS)
        )
        self._extra = [
            (column, place)
            for place, column in enumerate(names)
            if column and column not in {*COLUMNS, REASON_COLUMN}
        ]
        self._key: int | None = None
        if key_column is not None:
            self.key_column = key_column.strip().lower()
            if not self.key_column or self.key_column not in names or self.key_column == REASON_COLUMN:
                raise usage_error(
                    f"{name} has no column {key_column!r} for --key-column",
                    hint=f"its columns are {', '.join(column for column in names if column)}",
                    code="missing_columns",
                )
            self._key = names.index(self.key_column)

    @property
    def has_reasons(self) -> bool:
        """Whether it is a file of rows that were not paid."""
        return self._reason is not None

    def _check(self, names: Sequence[str], name: str) -> None:
        missing = [column for column in COLUMNS if column in REQUIRED and column not in names]
        if missing:
            raise usage_error(
                f"{name} has no column {', '.join(missing)}",
                hint=f"its first line must name the columns {', '.join(COLUMNS)}, "
                "separated by commas, semicolons, tabs or bars",
                code="missing_columns",
            )
        twice = sorted({column for column in names if column and names.count(column) > 1})
        if twice:
            raise usage_error(f"{name} has two columns named {', '.join(twice)}", code="duplicate_columns")

    def order(self, line: int, cells: list[str]) -> Order | None:
        """Read the row that begins in this line; None if all of its cells are empty."""
        if not any(map(str.strip, cells)):
            return None
        faults: list[str] = []
        given = len(cells)
        original = cells
        if given != self._count:
            faults.append(f"the row has {given} cells, the header {self._count}")
            cells = [*cells[: self._count], *[""] * (self._count - given)]
        extra = {name: cells[place].strip() for name, place in self._extra if place < given}
        key = None if self._key is None else cells[self._key].strip()
        if key == "":
            faults.append(f"{self.key_column}: the cell is empty, but identifies the row")
        if self._has_no_reference:
            cells = [*cells, ""]
        sender, receiver, amount, currency, reference = map(str.strip, self._pick(cells))
        if self._separator != "," and (comma := _DECIMAL_COMMA.fullmatch(amount)):
            amount = f"{comma[1]}.{comma[2]}"
        currency = currency.upper()
        request = {"from_account": sender, "to_account": receiver, "amount": amount, "currency": currency}
        if reference:
            request["reference"] = reference
        _add_faults(faults, request)
        if self._reason is not None and self._reason < given:
            original = [*original[: self._reason], *original[self._reason + 1 :]]
        return Order(line, request, extra, faults, key, original)


def _add_faults(faults: list[str], request: dict[str, str]) -> None:
    sender, receiver = request["from_account"], request["to_account"]
    amount, currency, reference = request["amount"], request["currency"], request.get("reference")
    if fault := fault_of_account(sender):
        faults.append(f"from: {sender!r} {fault}")
    if fault := fault_of_account(receiver):
        faults.append(f"to: {receiver!r} {fault}")
    if fault := fault_of_amount(amount):
        faults.append(f"amount: {amount!r} {fault}")
    if fault := fault_of_currency(currency):
        faults.append(f"currency: {currency!r} {fault}")
    if reference and (fault := fault_of_reference(reference)):
        faults.append(f"reference: {fault}")


def column_names(header: Sequence[str]) -> list[str]:
    """The names that a header gives to its columns; an empty one names nothing."""
    return [cell.strip().lower() for cell in header]
