"""The results file of a file of transfers, watched while the command line writes it."""

import json
from pathlib import Path
from typing import Any

from tests.support.terminal import Running
from tests.support.waiting import eventually


def settled_rows(results: Path) -> int:
    """Rows whose outcome is on the disk."""
    return len(kept_rows(results)) if results.exists() else 0


def kept_rows(results: Path) -> list[dict[str, Any]]:
    """The rows of a run's results, without lines that say whose they are and which file was paid."""
    lines = results.read_bytes().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines if line.endswith(b"\n")]
    return [record for record in whole if "line" in record]


async def until_settled(results: Path, rows: int, paying: Running) -> None:
    """Wait until so many rows are settled, as long as the command runs."""

    async def settled() -> bool:
        assert not paying.ended, await paying.outcome()
        return settled_rows(results) >= rows

    await eventually(settled, every_seconds=0.005)
