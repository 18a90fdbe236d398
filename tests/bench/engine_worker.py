"""The engine in a process of its own: `python -m tests.bench.engine_worker` takes its orders as JSON lines.

It says `ready`, waits for a line with the seconds of a round, posts for so long, and tells what it has done.
"""

import asyncio
import json
import sys
import time
from uuid import UUID

import uvloop

from daemons.shared.garbage import collect_less_often
from daemons.shared.mongo import connect
from tests.bench.ledger import BenchLedger, running_engine


async def work(order: dict[str, str | int]) -> None:
    """Serve rounds until standard input ends."""
    client = connect(str(order["mongo_uri"]), daemon="bench-worker")
    accounts = client[str(order["database"])]["accounts"].find({"owner": {"$ne": None}}, {"owner": 1})
    owner_of: dict[str, UUID] = {found["_id"]: found["owner"] async for found in accounts.sort("_id")}
    ledger = BenchLedger(client, str(order["database"]), owner_of)
    make = getattr(ledger.payments, str(order["payments"]))
    async with running_engine(ledger) as engine:
        _tell("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            before, in_time, latencies = ledger.acknowledged, 0, list[float]()
            begun = time.perf_counter()
            end = begun + float(line)

            async def post() -> None:
                nonlocal in_time
                while (since := time.perf_counter()) < end:  # noqa: B023 - the tasks end within this turn
                    [command] = make(1)
                    ledger.acknowledge(await engine.post(command))
                    in_time += time.perf_counter() < end  # noqa: B023 - same
                    latencies.append(time.perf_counter() - since)  # noqa: B023 - same

            async with asyncio.TaskGroup() as group:
                for _ in range(int(order["in_flight"])):
                    group.create_task(post())
            acknowledged = ledger.acknowledged - before
            _tell(json.dumps({"done": in_time, "acknowledged": acknowledged, "latencies": latencies}))
    await client.close()


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    collect_less_often()
    uvloop.run(work(json.loads(sys.stdin.readline())))
