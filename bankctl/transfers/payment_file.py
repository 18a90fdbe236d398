"""A file of payment orders: what it asks for, which rows it has, and what tells it from all others."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO

from bankctl.errors import usage_error
from bankctl.transfers.orders import Order, read_orders

_BYTES_KEPT = 16 * 2**20
_CHUNK_BYTES = 2**18
# At about a kilobyte each.
_ROWS_KEPT = 50_000
_ZERO = Decimal(0)


@dataclass(slots=True)
class Overview:
    """What a file asks for: rows that can be sent, broken ones, and the sums of the former."""

    sound: int = 0
    broken: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.sound + self.broken

    def add(self, order: Order) -> None:
        """Count a row."""
        if order.faults:
            self.broken += 1
            return
        self.sound += 1
        currency, amount = order.request["currency"], Decimal(order.request["amount"])
        self.totals[currency] = self.totals.get(currency, _ZERO) + amount

    def __str__(self) -> str:
        sums = " and ".join(f"{amount:f} {currency}" for currency, amount in sorted(self.totals.items()))
        rows = f"{self.sound} payment{'' if self.sound == 1 else 's'}"
        broken = f"; {self.broken} broken rows are left out" if self.broken else ""
        return f"{rows}, {sums}{broken}" if sums else f"{rows}{broken}"


class PaymentFile:
    """One file. Unless it is very long it is read once: its digest and its rows are of one content."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            CliError: it cannot be read.
        """
        self.path = path
        self._content: bytes | None = None
        """All of it, if it is short enough."""
        with _readable(path) as file:
            content = file.read(_BYTES_KEPT)
            digest = hashlib.sha256(content)
            if len(content) < _BYTES_KEPT:
                self._content = content
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        self.digest = digest.hexdigest()
        """The SHA-256 of the content, in hexadecimal digits."""

    def orders(self) -> Iterable[Order]:
        """The rows, one at a time.

        Raises:
            CliError: the file cannot be read any more or has no usable header.
        """
        with _readable(self.path) if self._content is None else io.BytesIO(self._content) as file:
            # utf-8-sig drops the mark that spreadsheets put in front.
            # Bytes that are no UTF-8 become lone surrogates, so that only their own rows are at fault.
            text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
            yield from read_orders(text, str(self.path))

    def look_over(self) -> tuple[Overview, Iterable[Order]]:
        """Read all rows, so that what is confirmed is what the file says; returns them as well.

        Those of a file that is not too long are kept, others are read again.

        Raises:
            CliError: as `orders`.
        """
        overview = Overview()
        kept: list[Order] = []
        for order in self.orders():
            overview.add(order)
            if overview.rows <= _ROWS_KEPT:
                kept.append(order)
        return overview, kept if overview.rows <= _ROWS_KEPT else self.orders()


@contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise usage_error(f"{path} cannot be read: {error.strerror}", code="file_unreadable") from error
