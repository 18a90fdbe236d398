"""transfer --file: from the file to the summary."""

import gc
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bankctl import invocation, prompts
from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.payments.confirmation import confirm_batches
from bankctl.payments.file import PaymentFile, is_stream
from bankctl.payments.rehearsal import NOT_PAID, PAID_BEFORE, WOULD_BE_PAID, Rehearsal, Rehearsing
from bankctl.payments.results import (
    PaidFiles,
    ResultsFile,
    RunIdentity,
    Summary,
    default_results_path,
    run_lock,
)
from bankctl.payments.row_keys import RowKeys
from bankctl.payments.run import Attempt, PaymentRun
from bankctl.payments.survey import Survey, times_text
from bankctl.payments.unpaid_rows import UnpaidRows, plain_name
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.progress import progress_bar, progress_is_shown

_LONGEST_RUN_NAME = 200
_LONGEST_TABLE = 50
_ROWS_LOOKED_AT = 100
_ALLOCATIONS_BEFORE_A_LOOK = 50_000
_UNPAID_COLUMNS = [
    Column("line", "Line", "right"),
    Column("result", "Result"),
    Column("from", "From"),
    Column("to", "To"),
    Column("amount", "Amount", "right"),
    Column("currency", "Currency"),
    Column("reference", "Reference"),
    Column("problem.code", "Code"),
    Column("problem.detail", "Why"),
]


_REHEARSED_COLUMNS = [
    Column("line", "Line", "right"),
    Column("outcome", "Outcome"),
    Column("from", "From"),
    Column("from_name", "From name"),
    Column("to", "To"),
    Column("to_name", "To name"),
    Column("amount", "Amount", "right"),
    Column("currency", "Currency"),
    Column("reference", "Reference"),
    Column("problem.detail", "Why"),
]
_ACCOUNT_COLUMNS = [
    Column("account", "Account"),
    Column("name", "Name"),
    Column("currency", "Currency"),
    Column("out", "Out", "right"),
    Column("in", "In", "right"),
    Column("balance_after", "Balance after", "right"),
]


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is to be paid; `run` names the run, else the file's name does."""

    run: str | None = None
    key_column: str | None = None
    resume: bool = False
    results: Path | None = None
    wait_seconds: float = 60.0
    atomic: bool = False
    code_stdin: bool = False


@contextmanager
def _few_looks_for_cycles() -> Iterator[None]:
    """Rows make many objects and hardly a cycle; Python would look for cycles after every 700 of them."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_BEFORE_A_LOOK)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _identity(bank: BankClient, bank_id: str, run_name: str, payments: PaymentFile) -> RunIdentity:
    return RunIdentity(
        bank_id=bank_id,
        user_id=bank.require_session().user_id,
        name=run_name,
        known_by=payments.columns.key_column or "",
    )


@_few_looks_for_cycles()
def rehearse_file(file: Path, options: FileOptions) -> None:
    """Print what would become of every row of a file now; nothing is paid.

    Raises:
        CliError: REJECTED if a row would not be paid; otherwise why that is unknown.
    """
    # A run without a name was never paid.
    run_name = "" if options.run is None and is_stream(file) else _run_name(file, options.run)
    with PaymentFile(file, key_column=options.key_column) as payments, open_bank() as bank:
        about = bank.identity()
        identity = _identity(bank, about.bank_id, run_name, payments)
        results = ResultsFile(options.results or default_results_path(identity), identity=identity)
        if run_name:
            results.load()
        keys = RowKeys(bank_id=about.bank_id, user_id=identity.user_id, run_name=run_name)
        survey = Survey(payments.orders(), keys, results)
        if options.atomic:
            _check_atomic(survey.to_pay.sound, about.atomic_limit)
        if survey.needs_decision and not _is_decided(payments, results, options):
            messages.warn(_undecided(survey, run_name, paying=False).message)
        rehearsing = Rehearsing(bank, results, rows_per_slice=about.batch_limit)
        keys = RowKeys(bank_id=about.bank_id, user_id=identity.user_id, run_name=run_name)
        rehearsal = rehearsing.rehearse(payments.orders(), keys)
    _report_rehearsal(rehearsal, atomic=options.atomic)


def _check_atomic(rows: int, limit: int) -> None:
    if rows > limit:
        raise usage_error(
            f"--atomic pays at most {limit} rows, and these are {rows}",
            hint="pay them in several files",
            code="too_many_rows",
        )


def _is_decided(payments: PaymentFile, results: ResultsFile, options: FileOptions) -> bool:
    """Whether it is clear that rows that look paid are to be skipped."""
    return payments.digest in results.digests or options.resume or options.run is not None


def _report_rehearsal(rehearsal: Rehearsal, *, atomic: bool) -> None:
    output, query = invocation.current().output, invocation.current().query
    rows, counts = rehearsal.rows, rehearsal.counts
    if output is OutputFormat.CSV and query is None:
        emit(rows, columns=_REHEARSED_COLUMNS)
    elif output is not OutputFormat.TABLE or query is not None:
        summary = {"rows": len(rows), **counts, "totals": rehearsal.totals}
        emit({"summary": summary, "accounts": rehearsal.accounts, "rows": rows})
    else:
        emit(rows, columns=_REHEARSED_COLUMNS, title="What would happen")
        emit(rehearsal.accounts, columns=_ACCOUNT_COLUMNS, title="By account")
    sums = " and ".join(f"{total} {currency}" for currency, total in rehearsal.totals.items())
    messages.note(
        f"{counts[WOULD_BE_PAID]} of {len(rows)} rows would be paid{f', {sums}' if sums else ''}; "
        f"{counts[PAID_BEFORE]} were paid before; nothing was paid: --dry-run"
    )
    if counts[NOT_PAID]:
        which = f"{counts[NOT_PAID]} of {len(rows)} rows would not be paid"
        raise CliError(
            f"{which}, and so none would: --atomic" if atomic else which,
            exit_status=ExitStatus.REJECTED,
            code="rows_would_not_be_paid",
            hint="nothing was paid",
        )


@_few_looks_for_cycles()
def pay_file(file: Path, options: FileOptions) -> None:
    """Pay every row of a file once, and print the outcomes.

    Raises:
        CliError: REJECTED if a row was not paid; CONFLICT if somebody must say whether rows that look paid
            are to be paid again; otherwise why the run stopped before the end.
    """
    run_name = _run_name(file, options.run)
    if options.code_stdin and is_stream(file):
        raise usage_error("stdin holds either the rows or the code", hint="give the file by its name")
    prompts.require_consent()
    with PaymentFile(file, key_column=options.key_column) as payments, open_bank() as bank:
        about = bank.identity()
        identity = _identity(bank, about.bank_id, run_name, payments)
        with run_lock(identity):
            results = ResultsFile(options.results or default_results_path(identity), identity=identity)
            results.load()
            unpaid_rows = UnpaidRows(payments, results.path)
            atomic_limit = about.atomic_limit if options.atomic else 0
            summary = _Payment(bank, payments, results, options, atomic_limit).pay()
        _report(summary, results=results, unpaid_rows=unpaid_rows, paid_at=_time_of_replays(bank, summary))


def _run_name(file: Path, given: str | None) -> str:
    if given is None:
        if is_stream(file):
            raise usage_error(
                "rows without a file name need a name for their run, so that paid rows can be recognised",
                hint="add --run NAME",
                code="run_needed",
            )
        return unicodedata.normalize("NFC", plain_name(file))
    if (
        not 0 < len(given) <= _LONGEST_RUN_NAME
        or not given.isprintable()
        or not given.strip()
        or "/" in given
    ):
        raise usage_error(
            f"--run takes a name of up to {_LONGEST_RUN_NAME} characters without '/'", code="invalid_run"
        )
    return unicodedata.normalize("NFC", given)


class _Payment:
    """One command that pays a file: what is asked before, and how."""

    def __init__(
        self,
        bank: BankClient,
        payments: PaymentFile,
        results: ResultsFile,
        options: FileOptions,
        atomic_limit: int,
    ) -> None:
        """Prepare to pay; all rows or none if there is an `atomic_limit`."""
        self._bank = bank
        self._payments = payments
        self._results = results
        self._options = options
        self._atomic_limit = atomic_limit
        self._paid_files = PaidFiles(results.identity, payments.digest)

    def pay(self) -> Summary:
        total = 0
        if self._results.is_new:
            if self._options.run is None and not self._options.resume:
                self._refuse_copy()
                self._refuse_unknown_run()
            if self._options.key_column is not None:
                self._refuse_other_identities()
        looked_over = prompts.will_ask() or progress_is_shown() or bool(self._atomic_limit)
        if looked_over or not self._results.is_new:
            survey = Survey(self._payments.orders(), self._keys(), self._results)
            total = survey.rows
            self._decide(survey)
            if self._atomic_limit:
                self._refuse_broken(survey)
        self._results.begin(sha256=self._payments.digest, name=self._payments.name)
        self._paid_files.remember(self._results.identity.name)
        with progress_bar(f"Paying {self._payments.path.name}", total=total) as advance, _resumable():
            run = PaymentRun(
                self._bank,
                self._results,
                wait_seconds=self._options.wait_seconds,
                atomic_limit=self._atomic_limit,
                advance=advance,
            )
            summary = run.pay(self._payments.orders(), self._keys())
        self._pay_confirmed(run)
        return summary

    def _pay_confirmed(self, run: PaymentRun) -> None:
        """Pay what the bank takes with a confirmation only: one code for all of it."""
        confirm = partial(confirm_batches, self._bank, code_stdin=self._options.code_stdin)
        left = 0
        # A confirmation is good for minutes: of a long file some rows may need another.
        while run.rows_to_confirm and run.rows_to_confirm != left:
            left = run.rows_to_confirm
            with _resumable():
                try:
                    run.pay_confirmed(confirm)
                except CliError as error:
                    if run.rows_to_confirm != left:
                        raise
                    messages.warn(error.message if error.hint is None else f"{error.message}; {error.hint}")
        if run.rows_to_confirm:
            run.leave_unconfirmed()

    def _keys(self) -> RowKeys:
        identity = self._results.identity
        return RowKeys(bank_id=identity.bank_id, user_id=identity.user_id, run_name=identity.name)

    def _refuse_broken(self, survey: Survey) -> None:
        """Refuse to pay all rows or none if not all can be sent at once."""
        _check_atomic(survey.to_pay.sound, self._atomic_limit)
        if survey.paid_otherwise:
            raise CliError(
                f"{survey.paid_otherwise} of {survey.rows} rows were paid before with other content, "
                "so none is paid: --atomic",
                exit_status=ExitStatus.REJECTED,
                hint="--dry-run names them",
                code="rows_not_paid",
            )
        if survey.to_pay.broken:
            broken = [order for order in self._payments.orders() if order.faults]
            faults = "\n".join(
                f"  line {order.line}: {'; '.join(order.faults)}" for order in broken[:_LONGEST_TABLE]
            )
            raise CliError(
                f"{len(broken)} of {survey.rows} rows are broken, so none is paid: --atomic\n{faults}",
                exit_status=ExitStatus.REJECTED,
                hint="correct them, or pay the others without --atomic",
                code="rows_not_paid",
            )

    def _refuse_copy(self) -> None:
        """Refuse a file that was paid under another name, unless somebody says that it is another run."""
        name = self._paid_files.run_name()
        if name not in {None, self._results.identity.name}:
            raise CliError(
                f"this exact content was paid before, as run {name!r}; nothing was paid now",
                exit_status=ExitStatus.CONFLICT,
                hint=f"--run {_quoted(str(name))} continues that run and pays nothing twice; "
                "another --run NAME pays all of it again",
                code="file_paid_in_another_run",
            )

    def _refuse_unknown_run(self) -> None:
        """Refuse a file of which the bank knows most rows and this machine nothing, unless somebody decides.

        It may be the file of an earlier run at another machine, or another file of that name.
        """
        looked_at, times = self._paid_at_the_bank(by_content=self._options.key_column is None)
        if len(times) * 2 <= looked_at:
            return
        name = self._results.identity.name
        known = (
            f"{len(times)} of the first {looked_at} rows were paid {times_text(times)} in run {name}, of "
            "which this machine has no record"
        )
        if prompts.will_ask():
            messages.warn(f"{known}; they are not paid again")
            return
        raise CliError(
            f"{known}. Nothing was paid now",
            exit_status=ExitStatus.CONFLICT,
            hint="--resume continues that run and pays only unpaid rows; --run NAME pays all rows, "
            "as another run",
            code="run_unknown_here",
        )

    def _refuse_other_identities(self) -> None:
        """Refuse a key column if the bank knows the rows by their content: it would pay them again."""
        looked_at, times = self._paid_at_the_bank(by_content=True)
        if times:
            raise CliError(
                f"{len(times)} of the first {looked_at} rows were paid {times_text(times)} without "
                "--key-column, and would be paid again with it. Nothing was paid now",
                exit_status=ExitStatus.CONFLICT,
                hint="continue without --key-column, or start another run with --run NAME",
                code="key_column_of_another_run",
            )

    def _paid_at_the_bank(self, *, by_content: bool) -> tuple[int, list[str]]:
        """How many rows were looked at, the first ones, and when those were paid that were."""
        keys = self._keys()
        sound = (order for order in self._payments.orders() if not order.faults)
        if by_content:
            sound = (order._replace(key=None) for order in sound)
        first = [Attempt(order, keys.row(order), 1).transfer for order in islice(sound, _ROWS_LOOKED_AT)]
        if not first:
            return 0, []
        results = self._bank.transactions.preview_batch(first, carried={})["results"]
        paid = [row for row in results if row["replayed"] and row["outcome"] == "completed"]
        return len(first), sorted(row["settled_at"] for row in paid)

    def _decide(self, survey: Survey) -> None:
        """Say what was paid before, and ask what has to be asked.

        Raises:
            CliError: somebody must decide, and nobody can be asked; or the person said no.
        """
        known = self._payments.digest in self._results.digests
        decided = _is_decided(self._payments, self._results, self._options)
        name = self._results.identity.name
        if survey.needs_decision and not decided and not prompts.will_ask():
            raise _undecided(survey, name)
        if survey.paid:
            # Who begins again where the run stopped knows it; that nothing is left to pay may be news.
            say = messages.note if known and survey.to_pay.sound else messages.warn
            say(f"run {name}: {survey.paid_before}, and not again; another --run NAME would pay them again")
        if not prompts.will_ask() or not survey.to_pay.sound:
            return
        if survey.doubtful and not decided:
            messages.warn(_doubts(survey))
        if known:
            # It was confirmed when it began.
            return
        person = self._bank.require_session().display_name
        prompts.confirm(f"As {person}, make {survey.to_pay} from {self._payments.path.name}?")


def _undecided(survey: Survey, name: str, *, paying: bool = True) -> CliError:
    doubts = f"; {_doubts(survey)}" if survey.doubtful else ""
    now = "Nothing was paid now" if paying else "To pay it, give --resume or --run NAME"
    return CliError(
        f"{survey.paid_before}, and the file has changed since{doubts}. {now}",
        exit_status=ExitStatus.CONFLICT,
        hint=f"--resume continues run {name}: it skips those and pays the others "
        f"({survey.to_pay}); --run NAME pays all rows, as another run",
        code="file_changed",
    )


def _doubts(survey: Survey) -> str:
    lines = ", ".join(str(line) for line in survey.doubtful[:5])
    more = len(survey.doubtful) - 5
    which = f"line {lines}" if len(survey.doubtful) == 1 else f"lines {lines}"
    if more > 0:
        which = f"{which} and {more} more"
    asks = "asks for a payment that was" if len(survey.doubtful) == 1 else "ask for payments that were"
    return f"{which} {asks} made, with another number or note"


def _quoted(name: str) -> str:
    # Only a message needs it.
    import shlex  # noqa: PLC0415

    return shlex.quote(name)


def _time_of_replays(bank: BankClient, summary: Summary) -> str:
    """When one of the rows was paid that only the bank remembers; empty if there is none."""
    if summary.replayed_transaction is None:
        return ""
    try:
        found = bank.transactions.show(summary.replayed_transaction)
    except CliError:
        return "before"
    return times_text([str(found["created_at"])])


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        messages.warn("run the same command again: it continues where it stopped and pays nothing twice")
        raise


def _report(summary: Summary, *, results: ResultsFile, unpaid_rows: UnpaidRows, paid_at: str) -> None:
    document = summary.document()
    unpaid = sorted(summary.unpaid, key=lambda record: int(record["line"]))
    unpaid_rows.write(unpaid)
    shown = [{name: value for name, value in record.items() if name != "cells"} for record in unpaid]
    output, query = invocation.current().output, invocation.current().query
    if output is OutputFormat.CSV and query is None:
        emit(shown, columns=_UNPAID_COLUMNS)
    elif output is not OutputFormat.TABLE or query is not None:
        emit(
            {
                "summary": document,
                "failed_rows": shown,
                "run": results.identity.name,
                "results_file": str(results.path),
                "failed_rows_file": str(unpaid_rows.path) if unpaid else None,
            }
        )
    else:
        if shown:
            emit(shown[:_LONGEST_TABLE], columns=_UNPAID_COLUMNS, title="Not paid")
        if len(shown) > _LONGEST_TABLE:
            messages.note(f"and {len(shown) - _LONGEST_TABLE} more: {unpaid_rows.path}")
        emit(_summary_rows(document), columns=_summary_columns(document))
    if summary.counts["replayed"]:
        messages.warn(
            f"{summary.counts['replayed']} of {document['rows']} rows were paid {paid_at}, as the bank "
            "says, and not paid again; another --run NAME would pay them again"
        )
    messages.note(f"each row's outcome: {results.path}")
    if unpaid:
        raise _not_paid(summary, len(unpaid), document["rows"], unpaid_rows)


def _not_paid(summary: Summary, unpaid: int, rows: int, unpaid_rows: UnpaidRows) -> CliError:
    others = "; the others are paid" if summary.paid_now or summary.paid_before else "; no row was paid"
    many = f"{unpaid} of {rows} rows were" if rows > 1 else "the one row was"
    return CliError(
        f"{many} not paid{others if unpaid < rows or rows > 1 else ''}",
        exit_status=ExitStatus.REJECTED,
        code="rows_not_paid",
        hint=f"correct them in {unpaid_rows.path} or in the original file and pay it: nothing is paid twice",
    )


def _summary_columns(document: dict[str, Any]) -> list[Column]:
    currencies = [Column(f"amounts.{code}", code, "right") for code in document["amounts"]]
    return [Column("outcome", "Outcome"), Column("rows", "Rows", "right"), *currencies]


_TOLD = {"paid": "paid", "skipped": "paid before", "replayed": "paid before, according to the bank"}


def _summary_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "outcome": _TOLD.get(outcome, outcome),
            "rows": document[outcome],
            "amounts": {code: sums.get(outcome) for code, sums in document["amounts"].items()},
        }
        for outcome in ("paid", "skipped", "replayed", "failed", "refused")
        if document[outcome] or outcome == "paid"
    ]
