"""Many payments at once, end to end, against bare inserts: POST /transactions/batch, and a file by CLI."""

import csv
import time
from pathlib import Path
from uuid import uuid4

from tests.bench.comparisons import rate_figure
from tests.bench.contenders import Contender
from tests.bench.figures import Figure, at_least
from tests.bench.gateway import logged_in, running_gateway
from tests.bench.http_bank import PASSWORD, HttpBank
from tests.bench.payments import CURRENCY
from tests.bench.samples import Round
from tests.bench.workbench import Workbench
from tests.support.terminal import Terminal

_ROWS_PER_BATCH = 500
_BATCHES_IN_FLIGHT = 4
_FILE_ROWS = 20_000
_QUICK_FILE_ROWS = 5_000


async def batches(bench: Workbench) -> list[Figure]:
    """Four batches of 500 in flight through one process."""
    bank = await bench.http_bank()
    bare, baseline = await bench.bare_inserts()
    with bank.daemon() as daemon:
        run = bank.paying(daemon, connections=_BATCHES_IN_FLIGHT, rows_per_request=_ROWS_PER_BATCH)
        measured = Contender("batches", run)
        await bench.turns(baseline, measured)
    await bank.ledger.prove()
    await bare.prove()
    title = f"POST batch, {_BATCHES_IN_FLIGHT} x {_ROWS_PER_BATCH} in flight / (ii)"
    return [rate_figure("batch", title, measured, baseline, at_least(0.4))]


async def files(bench: Workbench) -> list[Figure]:
    """`bankctl transfer --file`, from the start of the command to its end, through the gateway."""
    bank = await bench.http_bank()
    bare, baseline = await bench.bare_inserts()
    rows = _QUICK_FILE_ROWS if bench.options.quick else _FILE_ROWS
    with (
        bank.daemon() as daemon,
        running_gateway(bank.user_api, daemon, bench.folder / "gateway") as gateway,
    ):
        owner, email = next(iter(bank.emails.items()))
        terminal = await logged_in(email, PASSWORD, gateway, bench.folder / "home")
        own = [account for account, its_owner in bank.ledger.owner_of.items() if its_owner == owner]
        file = bench.folder / "payments.csv"
        write_file(file, own, rows)
        measured = Contender("transfer --file", _PayingFile(bank, terminal, file, rows))
        await bench.turns(baseline, measured)
    await bank.ledger.prove()
    await bare.prove()
    return [
        rate_figure(
            "file", f"bankctl transfer --file, {rows:,} rows / (ii)", measured, baseline, at_least(0.4)
        )
    ]


class _PayingFile:
    """Pays the whole file anew each time."""

    def __init__(self, bank: HttpBank, terminal: Terminal, file: Path, rows: int) -> None:
        self._bank, self._terminal, self._file, self._rows = bank, terminal, file, rows

    async def __call__(self, _seconds: float) -> Round:
        begun = time.perf_counter()
        run = uuid4().hex[:8]
        told = await self._terminal.json("transfer", "--file", str(self._file), "--run", run)
        seconds = time.perf_counter() - begun
        if told["summary"]["paid"] != self._rows:
            raise AssertionError(f"not all rows were paid: {told['summary']}")
        self._bank.ledger.acknowledged += self._rows
        return Round(self._rows, seconds, [seconds])


def write_file(path: Path, accounts: list[str], rows: int) -> None:
    """Write a file of small payments between the accounts of one owner."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["from", "to", "amount", "currency", "reference"])
        for row in range(rows):
            parties = accounts[row % len(accounts)], accounts[(row * 7 + 1) % len(accounts)]
            if parties[0] == parties[1]:
                parties = accounts[0], accounts[1]
            writer.writerow([*parties, f"0.{row % 90 + 10}", CURRENCY, "bench"])
