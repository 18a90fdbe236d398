"""What the command line costs to start, against the libraries that it cannot do without."""

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable

from tests.bench.comparisons import p50_figure
from tests.bench.contenders import Contender, Run
from tests.bench.figures import Figure
from tests.bench.gateway import logged_in, running_gateway
from tests.bench.http_bank import PASSWORD
from tests.bench.samples import Round
from tests.bench.workbench import Workbench

_LIBRARIES = "import typer, httpx"


async def start_of_balance(bench: Workbench) -> list[Figure]:
    """`bankctl balance` from its start to its end, CPU, against loading typer and httpx."""
    bank = await bench.http_bank()
    with bank.daemon() as daemon, running_gateway(bank.user_api, daemon, bench.folder / "start") as gateway:
        owner, email = next(iter(bank.emails.items()))
        terminal = await logged_in(email, PASSWORD, gateway, bench.folder / "start-home")
        account = next(account for account, its_owner in bank.ledger.owner_of.items() if its_owner == owner)
        measured = Contender("balance", _cpu_of(lambda: terminal.run("balance", account)))
        baseline = Contender(_LIBRARIES, _cpu_of(_load_libraries))
        await bench.turns(baseline, measured)
    title = "CPU of `bankctl balance`, p50 / of loading typer and httpx"
    return [p50_figure("start", title, measured, baseline, most=1.3)]


async def _load_libraries() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _LIBRARIES)
    assert await process.wait() == 0


def _cpu_of(start: Callable[[], Awaitable[object]]) -> Run:
    """Start it again and again; each one's CPU stands where other rows have a latency."""

    async def run(seconds: float) -> Round:
        end = time.perf_counter() + seconds
        used: list[float] = []
        while time.perf_counter() < end:
            before = _cpu_of_children()
            await start()
            used.append(_cpu_of_children() - before)
        return Round(len(used), sum(used), used)

    return run


def _cpu_of_children() -> float:
    """CPU of all children that have ended: none ends in a round but those that it starts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
