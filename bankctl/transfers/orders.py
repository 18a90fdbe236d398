"""Payment orders: CSV, read row by row, each row checked before it is sent."""

import csv
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import IO, NamedTuple

from bankctl.errors import usage_error
from bankctl.money import fault_of_account, fault_of_amount, fault_of_currency, fault_of_reference

COLUMNS = ("from", "to", "amount", "currency", "reference")
_REQUIRED = COLUMNS[:4]
# The namespace of the keys below; changing it would pay every file once more.
_KEY_NAMESPACE = uuid.UUID("6f0c7f0e-9f0f-5d8e-8f4e-6d1c2a5b7e90")
# The two highest bits of this digit say that it is a UUID of RFC 9562.
_VARIANTS = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}


class Order(NamedTuple):
    """One row: its line in the file, its request if it can be sent, else its faults."""

    line: int
    request: dict[str, str]
    extra: dict[str, str]
    faults: list[str]


class RowKeys:
    """The idempotency keys of a file's rows: the same on every machine, so that a row is paid once.

    Each is the UUID version 5 (RFC 9562) of what identifies the row; all but the line is hashed once for all.
    """

    def __init__(self, *, url: str, user_id: str, digest: str, run_name: str) -> None:
        common = f"{url}\n{user_id}\n{digest}\n{run_name}\n"
        self._common = hashlib.sha1(_KEY_NAMESPACE.bytes + common.encode(), usedforsecurity=False)

    def key(self, line: int) -> str:
        """The key of the row that begins in this line."""
        row = self._common.copy()
        row.update(b"%d" % line)
        digits = row.hexdigest()
        variant = _VARIANTS[digits[16]]
        return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def read_orders(file: IO[str], name: str) -> Iterator[Order]:
    """The rows of a file, one at a time; the line is that of the row's first character.

    Raises:
        CliError: the file, which is spoken of under this name, has no usable header.
    """
    reader = csv.reader(file, strict=True)
    try:
        columns = _Columns(_header(next(reader, []), name))
    except csv.Error as error:
        raise usage_error(f"{name} is no CSV file: {error}", code="file_not_csv") from error
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Order(line, {}, {}, [f"no CSV: {error}"])
            continue
        text = "".join(cells)
        if text.strip():
            yield _check(line, columns, cells, text)


def _header(cells: Sequence[str], name: str) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        raise usage_error(
            f"{name} has no column {', '.join(missing)}",
            hint=f"its first line must name the columns: {','.join(COLUMNS)}",
            code="missing_columns",
        )
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise usage_error(f"{name} has two columns named {', '.join(twice)}", code="duplicate_columns")
    return columns


class _Columns:
    """Where a row's cells stand; a file may have millions of rows, so it is found out once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.count = len(names)
        # Behind the last column stands an empty cell, for a reference that the file has not.
        self.pick = itemgetter(*(names.index(name) if name in names else self.count for name in COLUMNS))
        self.extra = [(name, place) for place, name in enumerate(names) if name not in COLUMNS]


def _check(line: int, columns: _Columns, cells: list[str], text: str) -> Order:
    faults, given = [], len(cells)
    # All but few rows are printable throughout.
    if not text.isprintable() and not all(cell.isprintable() or "\n" in cell for cell in cells):
        faults.append("the row has characters that cannot be printed, or is not UTF-8")
    if given != columns.count:
        faults.insert(0, f"the row has {given} cells, the header {columns.count}")
        cells = [*cells[: columns.count], *[""] * (columns.count - given)]
    extra = {name: cells[place].strip() for name, place in columns.extra if place < given}
    cells.append("")
    sender, receiver, amount, currency, reference = map(str.strip, columns.pick(cells))
    currency = currency.upper()
    if fault := fault_of_account(sender):
        faults.append(f"from: {fault}")
    if fault := fault_of_account(receiver):
        faults.append(f"to: {fault}")
    if fault := fault_of_amount(amount):
        faults.append(f"amount: {fault}")
    if fault := fault_of_currency(currency):
        faults.append(f"currency: {fault}")
    if reference and (fault := fault_of_reference(reference)):
        faults.append(f"reference: {fault}")
    request = {"from_account": sender, "to_account": receiver, "amount": amount, "currency": currency}
    if reference:
        request["reference"] = reference
    return Order(line, request, extra, faults)
