"""A file of payment orders, read once, whatever it comes from, encoding and separator included."""

import csv
import hashlib
import io
import stat
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Self

from bankctl.errors import CliError, usage_error
from bankctl.payments.orders import REQUIRED, Columns, Order, column_names

STANDARD_INPUT = "-"
_BYTES_KEPT = 16 * 2**20
_CHUNK_BYTES = 2**18
# At about half a kilobyte each.
_ROWS_KEPT = 100_000
# As many bytes as a C long has everywhere: what a cell may hold is for its column to say.
_LONGEST_CELL = 2**31 - 1
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8-sig",
}
_OTHER_KINDS = {
    b"PK\x03\x04": "a spreadsheet or an archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\x1f\x8b": "compressed",
    b"%PDF": "a PDF",
}
_BYTE_ORDER_MARK = "\ufeff"
_IS_TEXT = "export it as CSV in UTF-8, separated by commas, semicolons or tabs"


_Row = tuple[int, list[str]]
"""The line that a row begins in, and its cells."""


def is_stream(path: Path) -> bool:
    """Whether it can be read only once, such as standard input or a pipe, so that its name says nothing."""
    try:
        mode = 0 if str(path) == STANDARD_INPUT else path.stat().st_mode
    except OSError:
        # Reading it says what is wrong.
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


class PaymentFile:
    """One file, of which digest, rows and checks are of one content; `columns` are what its header says.

    A short one is kept in memory, and so are its rows. A longer one stays open and is read again; what can
    be read only once is copied first.
    """

    def __init__(self, path: Path, *, key_column: str | None = None) -> None:
        """Read the file, find out how it is written, and check that it consists of rows.

        Raises:
            CliError: it cannot be read, or is no CSV file throughout, or has no usable header.
        """
        csv.field_size_limit(_LONGEST_CELL)
        self.path = path
        self.is_stream = is_stream(path)
        self.name = "standard input" if str(path) == STANDARD_INPUT else str(path)
        self._kept: list[_Row] | None = None
        with self._faults_of_reading():
            self._file, self.digest = self._take()
            try:
                self._understand(key_column)
                self._check()
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def orders(self) -> Iterator[Order]:
        """The rows, one at a time.

        Raises:
            CliError: the file has changed under our hands, and cannot be read any more.
        """
        order_of = self.columns.order
        rows = self._kept
        with self._faults_of_reading():
            for row in self._rows() if rows is None else rows:
                order = order_of(*row)
                if order is not None:
                    yield order

    @contextmanager
    def _faults_of_reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise usage_error(
                f"{self.name} cannot be read: {error.strerror or error}", code="file_unreadable"
            ) from error
        except UnicodeError as error:
            raise usage_error(
                f"{self.name} begins like {self.encoding.upper()} but is not: {error}",
                hint=_IS_TEXT,
                code="file_not_text",
            ) from error

    def _take(self) -> tuple[IO[bytes], str]:
        """Return a file that can be read again and again, and the SHA-256 of its content."""
        if str(self.path) == STANDARD_INPUT:
            source = getattr(sys.stdin, "buffer", None)
            if source is None:
                raise usage_error("there is no standard input to read", code="file_unreadable")
        else:
            source = self.path.open("rb")
        content = source.read(_BYTES_KEPT)
        digest = hashlib.sha256(content)
        if len(content) == _BYTES_KEPT and not self.is_stream:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
            return source, digest.hexdigest()
        kept: IO[bytes] = io.BytesIO(content)
        if len(content) == _BYTES_KEPT:
            kept = tempfile.TemporaryFile()  # noqa: SIM115  # it stays open, to be read again
            kept.write(content)
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                kept.write(chunk)
        if str(self.path) != STANDARD_INPUT:
            source.close()
        return kept, digest.hexdigest()

    @contextmanager
    def _lines(self) -> Iterator[tuple[Iterable[str], int]]:
        """The lines from the header on, and how many stand before it."""
        self._file.seek(0)
        # Bytes that are no UTF-8 become lone surrogates, so that only their own rows are at fault.
        faults = "surrogateescape" if self.encoding.startswith("utf-8") else "strict"
        text = io.TextIOWrapper(self._file, encoding=self.encoding, errors=faults, newline="")
        try:
            skipped = 0
            for line in text:
                first = line.removeprefix(_BYTE_ORDER_MARK) if skipped == 0 else line
                if first.strip(" \t\r\n,;|") and _separator_line(first) is None:
                    yield chain([first], text), skipped
                    return
                skipped += 1
            yield [], skipped
        finally:
            # Else it would close the file.
            text.detach()

    def _understand(self, key_column: str | None) -> None:
        """Find out the encoding, the separator and the columns."""
        self.encoding = _encoding(self._file, self.name)
        self.separator, header = self._separator_and_header()
        self.columns = Columns(header, name=self.name, separator=self.separator, key_column=key_column)

    def _separator_and_header(self) -> tuple[str, list[str]]:
        with self._lines() as (lines, skipped):
            given = self._separator_given(skipped)
            first = next(iter(lines), "")
        found = {
            separator: next(csv.reader([first], delimiter=separator))
            for separator in ([given] if given else _SEPARATORS)
        }
        for separator, header in found.items():
            if set(column_names(header)) >= REQUIRED:
                return separator, header
        separator, header = max(found.items(), key=lambda item: len(item[1]))
        if len(header) > 1 and separator != ",":
            said = _SEPARATORS.get(separator, repr(separator))
            missing = ", ".join(sorted(REQUIRED - set(column_names(header))))
            raise usage_error(
                f"{self.name}, whose cells are separated by {said}, has no column {missing}",
                hint="its first line must name the columns from, to, amount, currency and reference",
                code="missing_columns",
            )
        return separator, header

    def _separator_given(self, skipped: int) -> str | None:
        """The separator that a line such as `sep=;` before the header names."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding=self.encoding, errors="replace", newline="")
        try:
            for line in islice(text, skipped):
                given = _separator_line(line.removeprefix(_BYTE_ORDER_MARK))
                if given is None:
                    continue
                if len(given) != 1 or given.isalnum() or given in "\"'.-\r\n":
                    raise usage_error(
                        f"{self.name} says that its cells are separated by {given!r}, which cannot be read",
                        hint="use a comma, a semicolon or a tab",
                        code="unknown_separator",
                    )
                return given
        finally:
            text.detach()
        return None

    def _rows(self) -> Iterator[_Row]:
        """The rows behind the header.

        Raises:
            CliError: a row does not end, so nobody knows where those behind it begin.
        """
        with self._lines() as (lines, skipped):
            source = iter(lines)
            reader = csv.reader(source, delimiter=self.separator, strict=True)
            line = skipped + 1
            try:
                # The header has been understood.
                next(reader, None)
                line = skipped + reader.line_num + 1
                for cells in reader:
                    yield line, cells
                    line = skipped + reader.line_num + 1
            except csv.Error as error:
                last = skipped + reader.line_num + sum(1 for _ in source)
                raise _boundaries_lost(self.name, line, last, error) from error

    def _check(self) -> None:
        """Read all rows before the first is paid; keep them if they are few."""
        rows = self._rows()
        kept = list(islice(rows, _ROWS_KEPT)) if self._is_short else []
        if self._is_short and next(rows, None) is None:
            self._kept = kept
        else:
            deque(rows, maxlen=0)
        if self.columns.key_column is not None:
            self._refuse_keys_twice()

    @property
    def _is_short(self) -> bool:
        return isinstance(self._file, io.BytesIO)

    def _refuse_keys_twice(self) -> None:
        lines: dict[str, int] = {}
        for order in self.orders():
            if order.key:
                before = lines.setdefault(order.key, order.line)
                if before != order.line:
                    raise usage_error(
                        f"{self.name} has {self.columns.key_column} {order.key!r} twice, in lines {before} "
                        f"and {order.line}",
                        hint="each row needs its own value; without --key-column rows are identified by "
                        "what they ask for",
                        code="duplicate_row_key",
                    )


def _encoding(file: IO[bytes], name: str) -> str:
    """The encoding of a file by its byte order mark; UTF-8 if it has none.

    Raises:
        CliError: it is not text, or its encoding is unknown.
    """
    file.seek(0)
    head = file.read(1024)
    for beginning, kind in _OTHER_KINDS.items():
        if head.startswith(beginning):
            raise usage_error(f"{name} is {kind}, not a CSV file", hint=_IS_TEXT, code="file_not_csv")
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    if b"\x00" in head[:64]:
        raise usage_error(
            f"{name} has zero bytes, like UTF-16 without a byte order mark",
            hint=_IS_TEXT,
            code="file_not_text",
        )
    return "utf-8"


def _separator_line(line: str) -> str | None:
    """The separator that a line before the header names, None if there is no such line."""
    text = line.strip("\r\n ")
    text = text[1:-1] if text.startswith('"') and text.endswith('"') else text
    return text[4:] if text[:4].lower() == "sep=" else None


def _boundaries_lost(name: str, line: int, last: int, error: csv.Error) -> CliError:
    lines = f"line {line} was" if line >= last else f"lines {line} to {last} were"
    return usage_error(
        f"{name} is no CSV file from line {line} on ({error}): where its rows end cannot be told, so {lines} "
        "not read and nothing of them is paid",
        hint="a cell that contains a quote must be quoted, with that quote doubled",
        code="file_not_csv",
    )
