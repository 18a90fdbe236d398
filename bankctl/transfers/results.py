"""The outcomes of a file of transfers, kept as they become known.

One JSON line per row, appended and forced to disk batch by batch. A run that stopped goes on behind what is
here. It may be deleted: the bank knows each row's key and answers for paid ones without paying again.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from bankctl.client import fast_json
from bankctl.errors import usage_error
from bankctl.files import ensure_private_directory
from bankctl.money import fault_of_amount, fault_of_currency


class Result(StrEnum):
    """What became of a row."""

    PAID = "paid"
    FAILED = "failed"  # the bank recorded the attempt: funds, frozen account
    REFUSED = "refused"  # the row is malformed or its key was used for another request


_PAID = Result.PAID.value
_ZERO = Decimal(0)


class ResultsFile:
    """The results of one run of one file; `settled` are those that were known when it was loaded, by line.

    A row that failed or was refused is settled as well: its key can have no other outcome.
    """

    def __init__(self, path: Path, *, identity: Mapping[str, str]) -> None:
        self.path = path
        self.settled: dict[int, dict[str, Any]] = {}
        self._identity = dict(identity)

    def load(self) -> None:
        """Read what is known; a last line that was cut while it was written is dropped.

        Raises:
            CliError: the file holds the results of something else.
        """
        if not self.path.exists():
            # Only folders that this program made are its to make private.
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._append([{"run": self._identity}])
            return
        content = self.path.read_bytes()
        whole, _, rest = content.rpartition(b"\n")
        if rest:
            with self.path.open("r+b") as file:
                file.truncate(len(content) - len(rest))
        lines = [line for line in whole.splitlines() if line]
        if not lines:
            self._append([{"run": self._identity}])
            return
        try:
            records = [json.loads(line) for line in lines]
            known = records[0]["run"] == self._identity
            self.settled = {record["line"]: record for record in records[1:]}
        except (ValueError, KeyError, TypeError):
            known = False
        if not known:
            raise usage_error(
                f"{self.path} is not the results file of this file, run and bank",
                hint="name another one with --results",
                code="results_file_of_another_run",
            )

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Keep the outcomes of some rows; on return they are on the disk."""
        self._append(records)

    def _append(self, records: Iterable[Mapping[str, Any]]) -> None:
        text = fast_json.encode_lines(records)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def default_results_path(state_directory: Path, identity: Mapping[str, str]) -> Path:
    """Where results go if the person names no place; each file, run, bank and user has its own."""
    directory = ensure_private_directory(state_directory / "transfers")
    payer = hashlib.sha256(f"{identity['url']}\n{identity['user_id']}".encode()).hexdigest()
    return directory / f"{identity['sha256'][:32]}-{identity['name'] or 'first'}-{payer[:8]}.jsonl"


class Summary:
    """Counts and sums per outcome and currency; each row is counted once.

    `skipped` rows were paid by an earlier run and not sent again; `replayed` ones were sent, and the bank
    answered that it had paid them before (they count as paid).
    """

    def __init__(self) -> None:
        self.counts = {**{str(result): 0 for result in Result}, "skipped": 0}
        self.replayed = 0
        self.unpaid: list[dict[str, Any]] = []
        self._sums: dict[tuple[str, str], Decimal] = {}

    def add(self, record: Mapping[str, Any], *, earlier: bool) -> None:
        """Count the outcome of one row, of this run or an `earlier` one."""
        outcome, amount, currency = record["result"], record["amount"], record["currency"]
        if outcome != _PAID:
            self.unpaid.append(dict(record))
        elif earlier:
            outcome = "skipped"
        self.counts[outcome] += 1
        if not earlier and record.get("replayed"):
            self.replayed += 1
        # What was broken, or is read from a file, may hold anything.
        if (outcome == _PAID) or (fault_of_amount(amount) or fault_of_currency(currency)) is None:
            place = currency, outcome
            self._sums[place] = self._sums.get(place, _ZERO) + Decimal(amount)

    def document(self) -> dict[str, Any]:
        """The summary for JSON; amounts are decimal strings."""
        amounts: dict[str, dict[str, str]] = {currency: {} for currency, _ in sorted(self._sums)}
        for (currency, outcome), total in self._sums.items():
            amounts[currency][outcome] = f"{total:f}"
        rows = sum(self.counts.values())
        return {"rows": rows, **self.counts, "replayed": self.replayed, "amounts": amounts}
