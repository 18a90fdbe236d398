"""`make bench`: every figure as a ratio taken in the same run on the same mongod."""

import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from tests.bench import engine_rows, http_rows, machine
from tests.bench.figures import Figure
from tests.bench.mongo_server import running_mongo
from tests.bench.options import parse_options
from tests.bench.table import text_table
from tests.bench.workbench import Workbench, say

Row = Callable[[Workbench], Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "random": engine_rows.random_pairs,
    "hot": engine_rows.hot_account,
    "bare": engine_rows.bare_inserts,
    "lone-engine": engine_rows.lone_command,
    "post": http_rows.single_payments,
    "lone-post": http_rows.lone_payment,
    "two-daemons": http_rows.two_daemons,
    "published": http_rows.published_payments,
}


def main() -> int:
    options = parse_options()
    unknown = options.rows - ROWS.keys()
    if unknown:
        say(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="bankctl-bench-", dir=options.folder))
    try:
        with running_mongo(folder) as mongo:
            about = machine.facts(mongo.binary)
            figures = uvloop.run(_run(Workbench(options, mongo, folder)))
    finally:
        shutil.rmtree(folder)
    sys.stdout.write(f"\n{text_table(figures)}\n")
    return 0 if all(figure.verdict != "SHORT" for figure in figures) else 1


async def _run(bench: Workbench) -> list[Figure]:
    figures: list[Figure] = []
    try:
        for name, row in ROWS.items():
            if bench.options.rows and name not in bench.options.rows:
                continue
            begun = time.monotonic()
            figures += await row(bench)
            say(f"{name}: {time.monotonic() - begun:.0f} s")
    finally:
        await bench.close()
    return figures


if __name__ == "__main__":
    sys.exit(main())
