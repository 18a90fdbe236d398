"""What paying a file would mean for its run: what is new, what was paid, and whether somebody must decide."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bankctl.payments.orders import Order
from bankctl.payments.results import Result, ResultsFile
from bankctl.payments.row_keys import RowKeys, content_of

_PAID = Result.PAID.value
_ZERO = Decimal(0)


@dataclass(slots=True)
class Overview:
    """What there is to pay: rows that can be sent, broken ones, and the sums of the former."""

    sound: int = 0
    broken: int = 0
    totals: dict[str, Decimal] = field(default_factory=dict)

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


class Survey:
    """A file's rows beside what is known of its run.

    A row that looks paid may be another payment that asks for the same: its other cells (an order's number, a
    note) tell. `doubtful` are the lines of rows that look paid with other such cells than any that was paid.
    """

    def __init__(self, orders: Iterable[Order], keys: RowKeys, results: ResultsFile) -> None:
        self.to_pay = Overview()
        self.paid = 0
        self.paid_otherwise = 0
        """Rows whose key column says that they were paid, with another content; they count as paid, too."""
        self.doubtful: list[int] = []
        self._new = 0
        self._unpaid_gone = set(results.unpaid)
        self._broken_before = results.broken
        self._doubts: dict[str, list[int]] = {}
        paid = {row: record for row, record in results.rows.items() if record["result"] == _PAID}
        self._paid_gone = set(paid)
        self._times: set[str] = set()
        self._notes = Counter(map(_note_of, paid.values()))
        for order in orders:
            if order.faults:
                self.to_pay.add(order)
                continue
            row = keys.row(order)
            self._unpaid_gone.discard(row)
            if row in paid:
                self._paid_gone.discard(row)
                self.paid += 1
                if paid[row]["settled_at"]:
                    self._times.add(str(paid[row]["settled_at"]))
                self._doubt(order, paid[row])
                continue
            self.to_pay.add(order)
            if row not in results.rows:
                self._new += 1
                self._clear_doubt(order)
        self.doubtful = sorted(line for lines in self._doubts.values() for line in lines)

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.paid + self.to_pay.sound + self.to_pay.broken

    @property
    def is_mended(self) -> bool:
        """Whether the file is the earlier one with some of its unpaid rows mended or left out."""
        gone = len(self._unpaid_gone) + max(0, self._broken_before - self.to_pay.broken)
        return not self._paid_gone and self._new <= gone

    @property
    def needs_decision(self) -> bool:
        """Whether it may be another file under the name of one that was paid.

        Then somebody must say whether rows that look paid are to be skipped or paid again.
        """
        if self.doubtful:
            return True
        return self._new > 0 and not self.is_mended and self.paid * 2 > self.rows

    @property
    def paid_before(self) -> str:
        """Tell how many rows were paid, and when."""
        if self.paid == 1 == self.rows:
            return f"its one row was paid {times_text(sorted(self._times))}"
        were = "was" if self.paid == 1 else "were"
        return f"{self.paid} of these {self.rows} rows {were} paid {times_text(sorted(self._times))}"

    def _doubt(self, order: Order, record: Mapping[str, Any]) -> None:
        content = content_of(order.request)
        if order.key is not None:
            self.paid_otherwise += content != content_of(request_of(record))
            return
        note = content, _cells(order.extra)
        if self._notes[note] > 0:
            self._notes[note] -= 1
        else:
            self._doubts.setdefault(content, []).append(order.line)

    def _clear_doubt(self, order: Order) -> None:
        """A row in front of an equal one takes its place: of the two, one is new, and that is this one."""
        if order.key is not None:
            return
        content = content_of(order.request)
        note = content, _cells(order.extra)
        if self._notes[note] > 0 and self._doubts.get(content):
            self._notes[note] -= 1
            self._doubts[content].pop()


def times_text(times: list[str]) -> str:
    """Tell when something happened, in the person's own time: `at 18:26`, with the day if it is not today."""
    if not times:
        return "before"
    first, last = (_local(time) for time in (times[0], times[-1]))
    return f"at {first}" if first == last else f"between {first} and {last}"


def _local(time: str) -> str:
    try:
        moment = datetime.fromisoformat(time).astimezone()
    except (ValueError, OverflowError, OSError):
        # No time, or none that this zone can express: it is shown as it came.
        return time
    today = datetime.now(UTC).astimezone().date()
    return f"{moment:%H:%M}" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M}"


def _note_of(record: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
    return content_of(request_of(record)), _cells(record["extra"])


def _cells(extra: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(extra.items()))


def request_of(record: Mapping[str, Any]) -> dict[str, str]:
    """What the row of a record asked for."""
    request = {
        "from_account": record["from"],
        "to_account": record["to"],
        "amount": record["amount"],
        "currency": record["currency"],
    }
    if record["reference"]:
        request["reference"] = record["reference"]
    return request
