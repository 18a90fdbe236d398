"""Two engines in two processes over one ledger, against one."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from tests.bench.comparisons import rate_figure
from tests.bench.contenders import Contender, Run
from tests.bench.figures import Figure, at_least
from tests.bench.ledger import BenchLedger
from tests.bench.load_process import REPOSITORY
from tests.bench.samples import Round
from tests.bench.workbench import Workbench

_IN_FLIGHT = 256


class EngineWorker:
    """A process that runs the engine; see `engine_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def hear(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("an engine worker has ended; its error stands above")
        return line.decode().strip()

    async def round(self, seconds: float) -> dict[str, Any]:
        """Let it post for so long."""
        await self.say(str(seconds))
        told: dict[str, Any] = json.loads(await self.hear())
        return told


@asynccontextmanager
async def running_worker(
    bench: Workbench, ledger: BenchLedger, in_flight: int, payments: str
) -> AsyncIterator[EngineWorker]:
    """Start a worker and wait until it is ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.engine_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        limit=1 << 26,
    )
    worker = EngineWorker(process)
    try:
        order = {
            "mongo_uri": bench.mongo.uri,
            "database": ledger.database.name,
            "in_flight": in_flight,
            "payments": payments,
        }
        await worker.say(json.dumps(order))
        await worker.hear()
        yield worker
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def two_engines(bench: Workbench) -> list[Figure]:
    """256 in flight in one engine, or half of them in each of two: all paying one account, and random pairs.

    The two have a ledger of their own, for one that shares accounts is remembered to do so for a while.
    """
    alone_ledger, shared_ledger = await bench.ledger("engine"), await bench.ledger("shared")
    figures = []
    for row, payments, what, bound in (
        ("two-engines", "to_one", "on one hot account", at_least(0.8)),
        ("two-engines-random", "between_any", "between random pairs", None),
    ):
        async with AsyncExitStack() as stack:
            alone = await stack.enter_async_context(running_worker(bench, alone_ledger, _IN_FLIGHT, payments))
            pair = [
                await stack.enter_async_context(
                    running_worker(bench, shared_ledger, _IN_FLIGHT // 2, payments)
                )
                for _ in range(2)
            ]
            baseline = Contender("one engine", _posting(alone_ledger, alone))
            measured = Contender("two engines", _posting(shared_ledger, *pair))
            await bench.turns(baseline, measured)
        await alone_ledger.prove()
        await shared_ledger.prove()
        title = f"engine, {_IN_FLIGHT} in flight {what}, two processes / one"
        figures.append(rate_figure(row, title, measured, baseline, bound))
    return figures


def _posting(ledger: BenchLedger, *workers: EngineWorker) -> Run:
    async def run(seconds: float) -> Round:
        told = await asyncio.gather(*(worker.round(seconds) for worker in workers))
        ledger.acknowledged += sum(one["acknowledged"] for one in told)
        latencies = [seconds for one in told for seconds in one["latencies"]]
        return Round(sum(one["done"] for one in told), seconds, latencies)

    return run
