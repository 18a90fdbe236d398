"""NAME.failed.csv: the rows of a file that were not paid, as they stand in it, to be mended and paid."""

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bankctl.errors import usage_error
from bankctl.files import write_private
from bankctl.payments.file import PaymentFile
from bankctl.payments.orders import REASON_COLUMN

_ENDING = ".failed.csv"
_ENDINGS = re.compile(r"(\.failed)?\.(csv|tsv|txt)$", re.IGNORECASE)
_FIRST_BYTES = 200


def plain_name(file: Path) -> str:
    """The name of a file without `.csv` and `.failed.csv`: what is paid later belongs to the same run."""
    return _ENDINGS.sub("", file.name) or file.name


class UnpaidRows:
    """Where the unpaid rows of a file go."""

    def __init__(self, file: PaymentFile, results: Path) -> None:
        """Find the place: beside the file, or beside the results if that cannot be.

        Raises:
            CliError: another file is there, which is not this program's to replace.
        """
        self._file = file
        beside_results = results.with_name(f"{results.stem}{_ENDING}")
        if file.is_stream:
            self.path = beside_results
        elif file.columns.has_reasons and file.path.name.lower().endswith(_ENDING):
            self.path = file.path
        else:
            self.path = file.path.with_name(f"{plain_name(file.path)}{_ENDING}")
            if self.path == file.path:
                self.path = file.path.with_name(f"{file.path.name.removesuffix('.csv')}{_ENDING}")
        if not os.access(self.path.parent, os.W_OK):
            self.path = beside_results
        if self.path.exists() and not _is_ours(self.path):
            raise usage_error(
                f"{self.path} is not a file of unpaid rows and would be overwritten; nothing was sent",
                hint="move it away",
                code="failed_rows_file_in_the_way",
            )

    def write(self, unpaid: Iterable[Mapping[str, Any]]) -> None:
        """Replace the file by these rows; without any, the one of an earlier run goes."""
        rows = [[_one_line(record["problem"]), *record["cells"]] for record in unpaid]
        if not rows:
            if self.path != self._file.path:
                with suppress(OSError):
                    self.path.unlink()
            return
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self._file.separator, lineterminator="\n")
        writer.writerows([[REASON_COLUMN, *self._file.columns.header], *rows])
        # What is no UTF-8 goes back as it came.
        write_private(self.path, text.getvalue().encode(self._file.encoding, errors="surrogateescape"))


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(_FIRST_BYTES)
    except OSError:
        return False
    return not head or REASON_COLUMN.encode() in head.replace(b"\x00", b"")


def _one_line(problem: Mapping[str, Any] | None) -> str:
    found = problem or {}
    return " ".join(str(found.get("detail") or found.get("code") or "unknown").split())
