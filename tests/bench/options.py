"""What a run of the benchmark is asked to do."""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DISK = Path("/var/tmp")  # noqa: S108 - by convention on a disk, which /tmp often is not; a new folder is made in it


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long, which rows, where to."""

    rows: frozenset[str]
    rounds: int
    seconds: float
    quick: bool
    large: bool
    large_transactions: int
    folder: Path
    out: Path | None
    markdown: Path | None


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the bank's speed.")
    parser.add_argument("--rows", default="", help="comma-separated rows to run; all without it")
    parser.add_argument("--seconds", type=float, help="length of one round")
    parser.add_argument("--rounds", type=int, help="rounds of each side")
    parser.add_argument(
        "--quick", action="store_true", help="short rounds, for development; not to be quoted"
    )
    parser.add_argument(
        "--large", action="store_true", help="also fill a ledger with millions of transactions"
    )
    parser.add_argument("--large-transactions", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="where the databases' temporary folder is made")
    parser.add_argument("--out", type=Path, help="write all results here as JSON")
    parser.add_argument("--markdown", type=Path, help="put the table between this document's markers")
    given = parser.parse_args(arguments)
    quick: bool = given.quick
    return Options(
        rows=frozenset(name for name in given.rows.split(",") if name),
        rounds=given.rounds or (2 if quick else 5),
        seconds=given.seconds or (1.0 if quick else 4.0),
        quick=quick,
        large=given.large,
        large_transactions=given.large_transactions,
        folder=given.folder or (_DISK if _DISK.is_dir() else Path(tempfile.gettempdir())),
        out=given.out,
        markdown=given.markdown,
    )
