"""transfer --file: from the file to the summary."""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bankctl import invocation, paths, prompts
from bankctl.client.bank import open_bank
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit
from bankctl.render.progress import progress_bar, progress_is_shown
from bankctl.transfers.payment_file import PaymentFile
from bankctl.transfers.payment_run import PaymentRun, pay
from bankctl.transfers.results import ResultsFile, Summary, default_results_path

_RUN_NAME = re.compile(r"[A-Za-z0-9._-]{0,40}")
_LONGEST_TABLE = 50
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


@_few_looks_for_cycles()
def pay_file(file: Path, *, run_name: str, results: Path | None, wait_seconds: float) -> None:
    """Pay every row of a file once, and print what became of them.

    Raises:
        CliError: REJECTED if a row was not paid; otherwise why the run stopped before the end.
    """
    if not _RUN_NAME.fullmatch(run_name):
        raise usage_error("--run takes up to 40 letters, digits, '.', '_' and '-'", code="invalid_run")
    prompts.require_consent()
    payments = PaymentFile(file)
    with open_bank() as bank:
        session = bank.require_session()
        identity = {
            "url": bank.profile.url,
            "user_id": session.user_id,
            "sha256": payments.digest,
            "name": run_name,
        }
        path = results or default_results_path(paths.state_dir(), identity)
        kept = ResultsFile(path, identity=identity)
        kept.load()
        total = 0
        if prompts.will_ask() or progress_is_shown():
            overview, orders = payments.look_over()
            total = overview.rows
        else:
            orders = payments.orders()
        if kept.settled:
            messages.note(f"going on with {file.name}: what was settled before is skipped")
        elif prompts.will_ask():
            prompts.confirm(f"As {session.display_name}, make {overview} from {file.name}?")
        run = PaymentRun(orders, payments.digest, run_name, wait_seconds)
        with progress_bar(f"Paying {file.name}", total=total) as advance, _resumable():
            summary = pay(bank, run, kept, advance)
    _report(summary, run_name=run_name, path=path)


@contextmanager
def _resumable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        messages.warn("run the same command again: it goes on where it stopped and pays nothing twice")
        raise


def _report(summary: Summary, *, run_name: str, path: Path) -> None:
    document = summary.document()
    unpaid = summary.unpaid
    output, query = invocation.current().output, invocation.current().query
    if output is OutputFormat.CSV and query is None:
        emit(unpaid, columns=_UNPAID_COLUMNS)
    elif output is not OutputFormat.TABLE or query is not None:
        emit({"summary": document, "failed_rows": unpaid, "run": run_name, "results_file": str(path)})
    else:
        if unpaid:
            emit(unpaid[:_LONGEST_TABLE], columns=_UNPAID_COLUMNS, title="Not paid")
        if len(unpaid) > _LONGEST_TABLE:
            messages.note(f"and {len(unpaid) - _LONGEST_TABLE} more: {path}")
        emit(_summary_rows(document), columns=_summary_columns(document))
    messages.note(f"each row's outcome: {path}")
    if unpaid:
        raise CliError(
            f"{len(unpaid)} of {document['rows']} rows were not paid",
            exit_status=ExitStatus.REJECTED,
            code="rows_not_paid",
            hint="put those rows into a file of their own to pay them; the others are paid",
        )


def _summary_columns(document: dict[str, Any]) -> list[Column]:
    currencies = [Column(f"amounts.{code}", code, "right") for code in document["amounts"]]
    return [Column("outcome", "Outcome"), Column("rows", "Rows", "right"), *currencies]


def _summary_rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "outcome": outcome,
            "rows": document[outcome],
            "amounts": {code: sums.get(outcome) for code, sums in document["amounts"].items()},
        }
        for outcome in ("paid", "skipped", "failed", "refused")
    ]
