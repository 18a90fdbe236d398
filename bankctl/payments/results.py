"""The outcomes of a run of payments, kept as they become known.

A file of JSON lines: first whose run it is, then a line for each command that paid a file, and behind it a
line for each row, appended and forced to disk batch by batch. A run that stopped goes on behind what is here.
It may be deleted: the bank knows each row's key and answers for paid ones without paying again.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from bankctl import paths
from bankctl.client import fast_json
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import ensure_private_directory, write_private
from daemons.contracts.vocabulary import fault_of_amount, fault_of_currency


class Result(StrEnum):
    """The outcome of a row."""

    PAID = "paid"
    FAILED = "failed"  # the bank recorded the attempt: funds, frozen account
    REFUSED = "refused"  # the row is malformed, or was paid before with another content


_PAID = Result.PAID.value
_ZERO = Decimal(0)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_FILE_NAME = 40
_FIRST_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """One run: at which bank, by whom, under which name, and by what its rows are known."""

    bank_id: str
    user_id: str
    name: str
    known_by: str

    @property
    def digest(self) -> str:
        """What tells it from the runs of all other banks and users, and of this user."""
        text = f"{self.bank_id}\n{self.user_id}\n{self.name}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]

    @property
    def file_name(self) -> str:
        """A name for its files that people recognize and that no other run has."""
        return f"{_NOT_IN_NAMES.sub('-', self.name)[:_LONGEST_FILE_NAME].strip('-') or 'run'}-{self.digest}"


class ResultsFile:
    """The results of one run.

    `rows` are the latest records of rows that were sent, by identity; a paid one stays paid. `unpaid` are the
    rows of the latest command that were sent and not paid, `broken` counts those that could not be sent.
    """

    def __init__(self, path: Path, *, identity: RunIdentity) -> None:
        self.path = path
        self.identity = identity
        self.rows: dict[str, dict[str, Any]] = {}
        self.digests: set[str] = set()
        self.unpaid: set[str] = set()
        self.broken = 0

    @property
    def is_new(self) -> bool:
        """Whether nothing is known of the run."""
        return not self.digests

    def load(self) -> None:
        """Read what is known, and change nothing.

        Raises:
            CliError: the file is not a results file of this program, or holds the results of another run.
        """
        try:
            content = self._content()
        except OSError as error:
            raise usage_error(
                f"{self.path} cannot be read: {error.strerror}", code="results_file_unreadable"
            ) from error
        if not content:
            return
        first, *lines = content.splitlines()
        self._check(first)
        # A line that was cut off while it was written does not count; its row is sent again.
        if lines and not content.endswith(b"\n"):
            lines.pop()
        try:
            for line in lines:
                if line:
                    self._take(fast_json.decode_any(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise usage_error(
                f"{self.path} is broken: {error}",
                hint="move it away; the bank knows which rows were paid, and --resume continues",
                code="results_file_broken",
            ) from error

    def _content(self) -> bytes:
        """All of the file if it looks like ours; of others not more than that takes."""
        if not self.path.exists():
            return b""
        if not self.path.is_file():
            raise _not_ours(self.path)
        with self.path.open("rb") as file:
            beginning = file.read(_FIRST_LINE_BYTES)
            if beginning and not beginning.startswith(b'{"run":{'):
                raise _not_ours(self.path)
            return beginning + file.read()

    def _check(self, first: bytes) -> None:
        try:
            found = RunIdentity(**fast_json.decode_any(first)["run"])
        except (ValueError, KeyError, TypeError) as error:
            raise _not_ours(self.path) from error
        ours = self.identity
        if (found.bank_id, found.user_id, found.name) != (ours.bank_id, ours.user_id, ours.name):
            raise usage_error(
                f"{self.path} holds the results of another run, bank or user",
                hint="name another file with --results",
                code="results_file_of_another_run",
            )
        if found.known_by != ours.known_by:
            way = f"with --key-column {found.known_by}" if found.known_by else "without --key-column"
            raise usage_error(
                f"the rows of run {ours.name!r} are known by their "
                f"{found.known_by or 'content'}: known otherwise they would be paid again",
                hint=f"go on {way}, or start another run with --run NAME",
                code="key_column_of_another_run",
            )

    def _take(self, record: dict[str, Any]) -> None:
        if "file" in record:
            self.digests.add(str(record["file"]["sha256"]))
            self.unpaid, self.broken = set(), 0
            return
        row = record["row"]
        if row is None:
            self.broken += 1
        elif record["result"] == _PAID:
            self.rows[row] = record
            self.unpaid.discard(row)
        elif self.rows.get(row, record)["result"] != _PAID:
            self.rows[row] = record
            self.unpaid.add(row)

    def begin(self, *, sha256: str, name: str) -> None:
        """Note that a file is going to be paid; creates the results file if there is none."""
        try:
            if not self.path.exists() or not self.path.stat().st_size:
                # Only folders that this program made are its to make private.
                self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_private(self.path, fast_json.encode_lines([{"run": asdict(self.identity)}]))
            else:
                self._drop_cut_line()
            self._append([{"file": {"sha256": sha256, "name": name, "begun_at": _now()}}])
        except OSError as error:
            raise usage_error(
                f"{self.path} cannot be written: {error.strerror}; nothing was paid",
                hint="name another file with --results",
                code="results_file_unwritable",
            ) from error

    def _drop_cut_line(self) -> None:
        with self.path.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Keep the outcomes of some rows; on return they are on the disk.

        Raises:
            CliError: they cannot be kept; the bank knows them all the same.
        """
        try:
            self._append(records)
        except OSError as error:
            raise CliError(
                f"rows were paid, but their outcome cannot be written to {self.path}: {error.strerror}",
                exit_status=ExitStatus.OUTCOME_UNKNOWN,
                hint="free some space, then run the same command again: it continues and pays nothing twice",
                code="results_not_kept",
            ) from error

    def _append(self, records: Iterable[Mapping[str, Any]]) -> None:
        text = fast_json.encode_lines(records)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _not_ours(path: Path) -> CliError:
    return usage_error(
        f"{path} is not a results file of this program; it was left as it is and nothing was sent",
        hint="name a file with --results that does not exist yet, or leave --results out",
        code="no_results_file",
    )


def default_results_path(identity: RunIdentity) -> Path:
    """Where results go if the person names no place; each run of each user at each bank has its own."""
    directory = ensure_private_directory(paths.state_dir() / "transfers")
    return directory / f"{identity.file_name}.jsonl"


@contextmanager
def run_lock(identity: RunIdentity) -> Iterator[None]:
    """Keep other commands from paying the same run meanwhile; the system drops the lock with the process.

    Raises:
        CliError: one is paying it now.
    """
    folder = ensure_private_directory(paths.state_dir() / "locks")
    descriptor = os.open(folder / f"{identity.file_name}.run", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 100).decode(errors="replace")
            raise CliError(
                f"run {identity.name!r} is being paid already{f' ({holder})' if holder else ''}; "
                "this command did nothing",
                exit_status=ExitStatus.CONFLICT,
                hint="wait until that command has ended; then run this one again",
                code="run_at_work",
            ) from None
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()}, since {_now()}".encode())
        yield
    finally:
        os.close(descriptor)


class PaidFiles:
    """Which files were paid under which run: a copy of a file under another name is the same payments."""

    def __init__(self, identity: RunIdentity, sha256: str) -> None:
        payer = hashlib.sha256(f"{identity.bank_id}\n{identity.user_id}\n{sha256}".encode()).hexdigest()
        self._path = paths.state_dir() / "transfers" / "files" / payer[:40]

    def run_name(self) -> str | None:
        """The run that the file was paid under first, if this machine remembers one."""
        with suppress(OSError):
            return self._path.read_bytes().decode(errors="surrogateescape") or None
        return None

    def remember(self, run_name: str) -> None:
        """Note the run, unless one is noted."""
        if self.run_name() is None:
            write_private(self._path, run_name.encode(errors="surrogateescape"))


class Summary:
    """Counts and sums per outcome and currency; each row is counted once.

    `paid` rows were paid by this command. `skipped` rows were paid before, as this machine knows, and were
    not sent again; `replayed` ones were sent, and the bank answered that it had paid them before.
    """

    def __init__(self) -> None:
        self.counts = {**{str(result): 0 for result in Result}, "skipped": 0, "replayed": 0}
        self.unpaid: list[dict[str, Any]] = []
        self.replayed_transaction: str | None = None
        """A transaction that was replayed, to ask the bank when it was made."""
        self._sums: dict[tuple[str, str], Decimal] = {}

    @property
    def paid_now(self) -> int:
        """Rows that this command paid."""
        return self.counts[_PAID]

    @property
    def paid_before(self) -> int:
        """Rows that an earlier command paid."""
        return self.counts["skipped"] + self.counts["replayed"]

    def add(self, record: Mapping[str, Any], *, earlier: bool, cells: list[str]) -> None:
        """Count the outcome of one row, of this command or an `earlier` one, with its cells in the file."""
        outcome, amount, currency = record["result"], record["amount"], record["currency"]
        if outcome != _PAID:
            self.unpaid.append({**record, "cells": cells})
        elif earlier:
            outcome = "skipped"
        elif record.get("replayed"):
            outcome = "replayed"
            self.replayed_transaction = record["transaction_id"]
        self.counts[outcome] += 1
        # What was broken, or is read from a file, may hold anything.
        if record["result"] == _PAID or (fault_of_amount(amount) or fault_of_currency(currency)) is None:
            place = currency, outcome
            self._sums[place] = self._sums.get(place, _ZERO) + Decimal(amount)

    def document(self) -> dict[str, Any]:
        """The summary for JSON; amounts are decimal strings."""
        amounts: dict[str, dict[str, str]] = {currency: {} for currency, _ in sorted(self._sums)}
        for (currency, outcome), total in self._sums.items():
            amounts[currency][outcome] = f"{total:f}"
        return {"rows": sum(self.counts.values()), **self.counts, "amounts": amounts}
