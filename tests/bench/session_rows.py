"""Payments of thousands of sessions against payments of a few, and what user_api has to do for them."""

from tests.bench.comparisons import rate_figure
from tests.bench.contenders import Contender, Run
from tests.bench.costs import memory_figure
from tests.bench.daemon_process import DaemonProcess, cpu_seconds
from tests.bench.figures import Figure, at_least
from tests.bench.http_bank import PAYERS, HttpBank
from tests.bench.samples import Round, spread_of
from tests.bench.workbench import CROWD, Workbench, say

CONNECTIONS = 256
_REQUESTS_OF_EACH = 4
"""So many on average until all but one in fifty have been seen."""


async def many_sessions(bench: Workbench) -> list[Figure]:
    """256 connections to one daemon: each request of any of 10,000 sessions, or 8 sessions in all."""
    bank = await bench.crowded_bank()
    with bank.daemon() as daemon:
        await _until_all_are_known(bank, daemon, bench.options.seconds)
        shares: list[float] = []
        baseline = Contender(f"{PAYERS} sessions", bank.paying(daemon, connections=CONNECTIONS))
        paying = bank.paying(daemon, connections=CONNECTIONS, crowd=True)
        measured = Contender(f"{CROWD:,} sessions", _with_share_of(bank.user_api, paying, shares))
        await bench.turns(baseline, measured)
        memory = memory_figure(
            "sessions-memory", {"banking_api": daemon.process, "user_api": bank.user_api.process}
        )
    await bank.ledger.prove()
    share = spread_of(shares[-bench.options.rounds :])
    title = f"POST transfer, {CONNECTIONS} connections, {CROWD:,} sessions"
    cpu = Figure(
        row="sessions-cpu",
        title=f"{title}: CPU of user_api, of one core",
        value=share,
        unit="x",
        bound=None,
        made_of="questions of banking_api, each of many sessions",
        data={"shares": shares},
    )
    return [
        rate_figure("sessions", f"{title} / {PAYERS}", measured, baseline, at_least(0.9)),
        cpu,
        memory,
    ]


async def _until_all_are_known(bank: HttpBank, daemon: DaemonProcess, seconds: float) -> None:
    """Have each session used: the first request of each also has its token's signature verified."""
    sent = 0
    while sent < _REQUESTS_OF_EACH * CROWD:
        report = await bank.load(daemon, connections=CONNECTIONS, seconds=seconds, crowd=True)
        say(f"  sessions come for the first time: {report.acknowledged / report.seconds:,.0f}/s")
        sent += report.acknowledged


def _with_share_of(process: DaemonProcess, paying: Run, shares: list[float]) -> Run:
    async def run(seconds: float) -> Round:
        [before] = cpu_seconds([process.process])
        done = await paying(seconds)
        [after] = cpu_seconds([process.process])
        shares.append((after - before) / done.seconds)
        return done

    return run
