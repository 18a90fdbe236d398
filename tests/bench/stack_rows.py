"""Payments as people make them: through the gateway with TLS, told to Kafka, and noted by the notifier."""

from tests.bench.comparisons import rate_figure
from tests.bench.contenders import Contender
from tests.bench.costs import Costs, Meter
from tests.bench.event_rows import until_all_is_effected
from tests.bench.figures import TIMES, Figure, at_least, at_most
from tests.bench.gateway import running_gateway
from tests.bench.http_rows import CONNECTIONS
from tests.bench.samples import Round, paired_ratio, spread_of
from tests.bench.workbench import Workbench


async def whole_stack(bench: Workbench) -> list[Figure]:
    """64 connections to the gateway of a whole stack, against 64 to a daemon without one, nor Kafka."""
    bank, quiet = await bench.telling_bank(), await bench.http_bank()
    costs, bare_costs = Costs(), Costs()
    notifier_database = bench.client[bank.notifier_database]
    with (
        quiet.daemon() as bare,
        bank.daemon() as daemon,
        bank.notifier() as notifier,
        running_gateway(bank.user_api, daemon, bench.folder / "stack") as gateway,
    ):
        processes = {
            "daemon": [daemon.process],
            "mongod": [bench.mongo.process],
            "Caddy": [gateway.process],
            "notifier": [notifier.process],
        }
        meter = Meter(processes, costs)
        bare_meter = Meter({"daemon": [bare.process], "mongod": [bench.mongo.process]}, bare_costs)
        paying = bank.paying(daemon, connections=CONNECTIONS, gateway=gateway, meter=meter)

        async def pay(seconds: float) -> Round:
            done = await paying(seconds)
            # What is left to be done must not fall on the other side's round.
            await until_all_is_effected(bank, notifier_database)
            return done

        await until_all_is_effected(bank, notifier_database)
        measured = Contender("whole stack", pay)
        baseline = Contender("bare daemon", quiet.paying(bare, connections=CONNECTIONS, meter=bare_meter))
        await bench.turns(baseline, measured)
    await bank.ledger.prove()
    await quiet.ledger.prove()
    for side in (costs, bare_costs):
        side.keep_last(bench.options.rounds)
    title = f"POST transfer, {CONNECTIONS} connections, through the whole stack"
    caddy = paired_ratio(costs.of("Caddy"), costs.of("daemon"))
    beside_bare = paired_ratio(costs.of("Caddy"), bare_costs.of("daemon")).median
    bare_seconds = spread_of(bare_costs.of("daemon")).median
    return [
        rate_figure("stack", f"{title} / the bare daemon", measured, baseline, at_least(0.55)),
        Figure(
            row="stack-caddy",
            title=f"{title}: CPU of Caddy / of the daemon behind it",
            value=caddy,
            unit=TIMES,
            bound=at_most(0.5),
            made_of=f"{costs}; {beside_bare:.2f} of the bare daemon's {bare_seconds:.3f} s",
            data={"measured": costs.document(), "baseline": bare_costs.document()},
        ),
        costs.figure("stack-cpu", f"{title}: CPU of daemons, mongod and Caddy per 1,000", None),
    ]
