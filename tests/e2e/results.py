"""The results file of a file of transfers, watched while the command line writes it."""

from pathlib import Path

from tests.support.terminal import Running
from tests.support.waiting import eventually


def settled_rows(results: Path) -> int:
    """Rows whose outcome is on the disk; the first line says whose results they are."""
    return max(results.read_bytes().count(b"\n") - 1, 0) if results.exists() else 0


async def until_settled(results: Path, rows: int, paying: Running) -> None:
    """Wait until so many rows are settled, as long as the command runs."""

    async def settled() -> bool:
        assert not paying.ended, await paying.outcome()
        return settled_rows(results) >= rows

    await eventually(settled, every_seconds=0.005)
