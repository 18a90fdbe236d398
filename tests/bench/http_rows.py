"""Payments through HTTP: against the same route without a database, and their cost."""

from tests.bench.comparisons import p50_figure, rate_figure
from tests.bench.contenders import Contender
from tests.bench.costs import Costs, Meter, memory_figure
from tests.bench.daemon_process import DaemonProcess, cpu_seconds
from tests.bench.figures import TIMES, Figure, at_least, at_most
from tests.bench.http_bank import HttpBank
from tests.bench.samples import Round, paired_ratio, spread_of
from tests.bench.workbench import Workbench

CONNECTIONS = 64
STANDIN = "tests.bench.standin"
BARE_HANDLER = "tests.bench.bare_handler"


async def single_payments(bench: Workbench) -> list[Figure]:
    """64 connections to one daemon: random pairs, one hot account, and the route without a database."""
    return await _single_payments(bench, await bench.http_bank(), "post", "")


async def published_payments(bench: Workbench) -> list[Figure]:
    """The same while the relay publishes every payment to a real Kafka."""
    bank = await bench.telling_bank()
    return await _single_payments(bench, bank, "published", ", relay publishing to Kafka")


async def _single_payments(bench: Workbench, bank: HttpBank, row: str, how: str) -> list[Figure]:
    costs = Costs()
    with bank.daemon() as daemon, bank.daemon_like(STANDIN) as standin:
        if bank.tells:
            await bank.until_published()
        meter = Meter({"daemon": [daemon.process], "mongod": [bench.mongo.process]}, costs)
        baseline = Contender("no database", bank.paying(standin, connections=CONNECTIONS, counts=False))
        measured = Contender("random pairs", bank.paying(daemon, connections=CONNECTIONS, meter=meter))
        hot = Contender("one account", bank.paying(daemon, connections=CONNECTIONS, hot=True))
        await bench.turns(baseline, measured, hot)
        processes = {"banking_api": daemon, "user_api": bank.user_api}
        memory = memory_figure(
            f"{row}-memory",
            {"mongod": bench.mongo.process, **{name: one.process for name, one in processes.items()}},
        )
    await bank.ledger.prove()
    costs.keep_last(bench.options.rounds)
    title = f"POST transfer, 64 connections, one process{how}"
    return [
        rate_figure(row, f"{title} / (iii)", measured, baseline, at_least(0.6) if row == "post" else None),
        rate_figure(f"{row}-hot", f"{title}: one hot account / random pairs", hot, measured, at_least(0.9)),
        costs.figure(
            f"{row}-cpu", f"{title}: all-in CPU per 1,000", at_most(0.45) if row == "post" else None
        ),
        memory,
    ]


async def route_alone(bench: Workbench) -> list[Figure]:
    """The daemon without its database against a handler that does nothing but read and answer: CPU."""
    bank = await bench.http_bank()
    costs: dict[str, list[float]] = {}

    def costing(name: str, daemon: DaemonProcess) -> Contender:
        spent = costs.setdefault(name, [])
        paying = bank.paying(daemon, connections=CONNECTIONS, counts=False)

        async def run(seconds: float) -> Round:
            [before] = cpu_seconds([daemon.process])
            done = await paying(seconds)
            [after] = cpu_seconds([daemon.process])
            spent.append((after - before) / done.done)
            return done

        return Contender(name, run)

    with bank.daemon_like(STANDIN) as standin, bank.daemon_like(BARE_HANDLER) as bare:
        await bench.turns(costing("bare", bare), costing("route", standin))
    rounds = bench.options.rounds
    bare_cpu, route_cpu = costs["bare"][-rounds:], costs["route"][-rounds:]
    return [
        Figure(
            row="route",
            title="CPU of a bare aiohttp handler of the same JSON / POST transfer without a database",
            value=paired_ratio(bare_cpu, route_cpu),
            unit=TIMES,
            bound=at_least(0.4),
            made_of=(
                f"{spread_of(bare_cpu).median * 1e6:.0f} us a request against "
                f"{spread_of(route_cpu).median * 1e6:.0f} us"
            ),
            data={"bare_cpu_seconds": bare_cpu, "route_cpu_seconds": route_cpu},
        )
    ]


async def lone_payment(bench: Workbench) -> list[Figure]:
    """One request at a time through HTTP, p50, against one bare transaction: journal, outbox, commit."""
    bank, bare = await bench.http_bank(), await bench.bare_transactions()
    baseline = bare.contender()
    with bank.daemon() as daemon:
        measured = Contender("lone POST", bank.paying(daemon, connections=1))
        await bench.turns(baseline, measured)
    await bank.ledger.prove()
    await bare.prove()
    title = "lone POST transfer, p50 / bare transaction"
    return [p50_figure("lone-post", title, measured, baseline, most=1.05)]
