"""Three processes over one ledger, of which one decides and two are fronts, against one that is alone."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.costs import Costs, Meter
from tests.bench.daemon_process import DaemonProcess
from tests.bench.figures import TIMES, Figure, at_least, at_most
from tests.bench.http_bank import HttpBank
from tests.bench.samples import Round, latencies_of, paired_ratio, quantile, spread_of
from tests.bench.workbench import Workbench

_WARM_UP_SHARE = 0.5
_PROCESSES = 3


@dataclass(frozen=True, slots=True)
class _Load:
    """How it is paid; `row` is its name in the table."""

    row: str
    connections: int
    hot: bool

    def __str__(self) -> str:
        return f"{self.connections} connections, {'one hot account' if self.hot else 'random pairs'}"


_LOADS = (
    _Load("processes-64", 64, hot=False),
    _Load("processes-64-hot", 64, hot=True),
    _Load("processes-256", 256, hot=False),
    _Load("processes-256-hot", 256, hot=True),
)


@dataclass(slots=True)
class _Side:
    """So many processes, and what came of each load, round by round."""

    processes: int
    rounds: dict[_Load, list[Round]] = field(default_factory=lambda: {load: [] for load in _LOADS})
    costs: dict[_Load, Costs] = field(default_factory=lambda: {load: Costs() for load in _LOADS})
    aborted: list[int] = field(default_factory=list)
    """Transactions that the database has undone, in each round."""


async def several_processes(bench: Workbench) -> list[Figure]:
    """All processes of a side take an equal share of the connections.

    Each round starts a side's processes anew and warms them up: whoever is alone has no other beside it.
    """
    bank = await bench.http_bank()
    alone, several = _Side(1), _Side(_PROCESSES)
    for _ in range(bench.options.rounds):
        for side in (alone, several):
            await _round(bench, bank, side)
    await bank.ledger.prove()
    figures = [figure for load in _LOADS for figure in _figures(load, several, alone)]
    aborted = spread_of(several.aborted)
    return [
        *figures,
        Figure(
            row="processes-aborted",
            title=f"transactions that the database has undone, {_PROCESSES} processes, all loads of a round",
            value=aborted,
            unit="",
            bound=at_most(0),
            made_of=f"one process: {spread_of(alone.aborted).median:.0f}",
            data={"several": several.aborted, "alone": alone.aborted},
        ),
    ]


async def _round(bench: Workbench, bank: HttpBank, side: _Side) -> None:
    seconds = bench.options.seconds
    async with _running(bank, side.processes) as daemons:
        await bank.load(*daemons, connections=_LOADS[0].connections, seconds=seconds * _WARM_UP_SHARE)
        before = await _aborted(bench)
        for load in _LOADS:
            await bench.checkpoint()
            processes = {
                "daemons": [daemon.process for daemon in daemons],
                "mongod": [bench.mongo.process],
            }
            meter = Meter(processes, side.costs[load])
            report = await bank.load(
                *daemons, connections=load.connections, seconds=seconds, hot=load.hot, meter=meter
            )
            side.rounds[load].append(report.round())
        side.aborted.append(await _aborted(bench) - before)


@asynccontextmanager
async def _running(bank: HttpBank, count: int) -> AsyncIterator[list[DaemonProcess]]:
    """Run so many; the first of them becomes the ledger, and is stopped last."""
    async with AsyncExitStack() as stack:
        yield [stack.enter_context(bank.daemon()) for _ in range(count)]


async def _aborted(bench: Workbench) -> int:
    status = await bench.client.admin.command("serverStatus")
    return int(status["transactions"]["totalAborted"])


def _figures(load: _Load, several: _Side, alone: _Side) -> list[Figure]:
    rounds, alone_rounds = several.rounds[load], alone.rounds[load]
    rates, alone_rates = ([one.rate for one in of_side] for of_side in (rounds, alone_rounds))
    costs, alone_costs = several.costs[load], alone.costs[load]
    p50, p99 = (quantile(latencies_of(rounds), share) * 1000 for share in (0.5, 0.99))
    title = f"POST transfer, {load}, {_PROCESSES} processes / one alone"
    return [
        Figure(
            row=load.row,
            title=title,
            value=paired_ratio(rates, alone_rates),
            unit=TIMES,
            bound=at_least(1.2),
            made_of=(
                f"{spread_of(rates).median:,.0f}/s (p50 {p50:.1f}, p99 {p99:.1f} ms) against "
                f"{spread_of(alone_rates).median:,.0f}/s"
            ),
            data={"measured_per_second": rates, "baseline_per_second": alone_rates},
        ),
        Figure(
            row=f"{load.row}-cpu",
            title=f"{title}: all-in CPU per 1,000",
            value=paired_ratio(costs.all_in, alone_costs.all_in),
            unit=TIMES,
            bound=at_most(1.35),
            made_of=(
                f"{spread_of(costs.all_in).median:.3f} s, {costs}; "
                f"against {spread_of(alone_costs.all_in).median:.3f} s, {alone_costs}"
            ),
            data={"measured": costs.document(), "baseline": alone_costs.document()},
        ),
    ]
