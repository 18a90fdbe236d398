"""`make bench`: every figure as a ratio taken in the same run on the same mongod."""

import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from daemons.shared.garbage import collect_less_often
from tests.bench import (
    batch_rows,
    engine_rows,
    event_rows,
    http_rows,
    process_rows,
    proof_rows,
    session_rows,
    size_rows,
    stack_rows,
    start_rows,
    takeover_rows,
)
from tests.bench.figures import Figure
from tests.bench.machine import Machine
from tests.bench.mongo_server import running_mongo
from tests.bench.options import Options, parse_options
from tests.bench.report import Report
from tests.bench.workbench import Workbench, say

Row = Callable[[Workbench], Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "random": engine_rows.random_pairs,
    "hot": engine_rows.hot_account,
    "bare": engine_rows.bare_inserts,
    "sealing": engine_rows.sealing,
    "lone-engine": engine_rows.lone_command,
    "post": http_rows.single_payments,
    "sessions": session_rows.many_sessions,
    "route": http_rows.route_alone,
    "lone-post": http_rows.lone_payment,
    "processes": process_rows.several_processes,
    "takeover": takeover_rows.takeover,
    "batch": batch_rows.batches,
    "file": batch_rows.files,
    "published": http_rows.published_payments,
    "effects": event_rows.effects,
    "stack": stack_rows.whole_stack,
    "start": start_rows.start_of_balance,
    "sizes": size_rows.sizes,
    "prove": proof_rows.later_proofs,
}
_LARGE = frozenset({"sizes", "prove"})


def main() -> int:
    """Run the rows that were asked for; the status is 1 when a figure falls short or a row fails."""
    options = parse_options()
    chosen = _chosen(options)
    if not chosen:
        say(f"choose among the rows {', '.join(ROWS)}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="bankctl-bench-", dir=options.folder))
    try:
        # As in the daemons, for both sides of every row.
        collect_less_often()
        with running_mongo(folder) as mongo:
            machine = Machine.measured(mongo.binary, folder)
            figures, failures = uvloop.run(_run(Workbench(options, mongo, folder), chosen))
    finally:
        shutil.rmtree(folder)
    report = Report(options, machine, figures)
    sys.stdout.write(f"{report.text()}\n")
    if options.out is not None:
        options.out.write_text(report.json(), encoding="utf-8")
    if options.markdown is not None:
        report.put_into(options.markdown)
    for name, error in failures.items():
        say(f"row {name} FAILED: {error}")
    return 0 if report.all_reached and not failures else 1


def _chosen(options: Options) -> list[str]:
    """The rows by name; those that take many minutes only when they are asked for."""
    if options.rows:
        return [name for name in ROWS if name in options.rows] if options.rows <= ROWS.keys() else []
    return [name for name in ROWS if options.large or name not in _LARGE]


async def _run(bench: Workbench, chosen: list[str]) -> tuple[list[Figure], dict[str, Exception]]:
    figures: list[Figure] = []
    failures: dict[str, Exception] = {}
    try:
        for name in chosen:
            begun = time.monotonic()
            try:
                figures += await ROWS[name](bench)
            except Exception as error:  # noqa: BLE001 - the other rows are still worth their time
                failures[name] = error
                say("".join(traceback.format_exception(error)))
            say(f"{name}: {time.monotonic() - begun:.0f} s")
    finally:
        await bench.close()
    return figures, failures


if __name__ == "__main__":
    sys.exit(main())
