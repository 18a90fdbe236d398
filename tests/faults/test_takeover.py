"""The ledger's process is killed while people pay through three processes: the others go on."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from daemons.shared.lease import LEASE_SECONDS, RENEW_SECONDS
from daemons.shared.mongo import Database, connect
from tests.faults.bank_processes import FaultBank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.load import Load, attempt, new_load
from tests.faults.mongo_server import ABANDONED_TRANSACTION_SECONDS, MongoServer
from tests.faults.report import TallyRecorder
from tests.faults.told import Verdict
from tests.support.waiting import eventually

PROCESSES = ("banking_api", "banking_api2", "banking_api3")
KILLS = 4
BETWEEN_KILLS = 40
WORKERS = 12


@pytest.fixture
async def three(fault_bank: FaultBank) -> AsyncIterator[FaultBank]:
    """Three processes of banking_api over one database."""
    for name in PROCESSES[1:]:
        fault_bank.add_daemon("banking_api", name=name)
    try:
        await fault_bank.until_ready()
        yield fault_bank
    finally:
        for name in PROCESSES[1:]:
            await fault_bank.remove_daemon(name)


@pytest.fixture
async def ledger_database(three: FaultBank, mongo: MongoServer) -> AsyncIterator[Database]:
    async with connect(mongo.uri, daemon="tests") as client:
        yield client[f"banking_api_{three._suffix}"]


async def holder(database: Database) -> Any:
    """The lease as it is held now."""
    found = await database["leases"].find_one({"_id": "ledger"})
    return None if found is None else found["holder"]


async def ledger_among(bank: FaultBank) -> str:
    """The process that says of itself that it decides."""
    found: list[str] = []

    async def there_is_one() -> bool:
        found.clear()
        for name in PROCESSES:
            async with bank.http.get(f"{bank.urls[name]}/metrics") as answer:
                if "bankctl_is_ledger 1.0" in await answer.text():
                    found.append(name)
        return len(found) == 1

    await eventually(there_is_one, found=lambda: found)
    return found[0]


@asynccontextmanager
async def transactions_stay_open(mongo: MongoServer, *, seconds: float) -> AsyncIterator[None]:
    """Let the server keep what a killed process has left open for as long as MongoDB does by default."""
    await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": seconds})
    try:
        yield
    finally:
        limit = ABANDONED_TRANSACTION_SECONDS
        await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": limit})


async def until_others_pay(load: Load, known: int) -> None:
    """Wait until a payment that was sent after the kill has been made."""

    async def others_pay() -> bool:
        await asyncio.sleep(0)
        return any(operation.settled is Verdict.COMPLETED for operation in load.operations[known:])

    await eventually(others_pay, every_seconds=0.01)


async def longest_payment(load: Load) -> float:
    """How long one of a few payments takes at most while nothing is wrong, beside the load."""
    longest = 0.0
    for _ in range(5):
        payment, begun = load.draw_payment(), time.monotonic()
        load.operations.append(payment)
        await attempt(payment)
        longest = max(longest, time.monotonic() - begun)
    return longest


async def test_a_killed_ledger_is_replaced_when_its_lease_has_run_out(
    three: FaultBank, mongo: MongoServer, ledger_database: Database, tallies: TallyRecorder
) -> None:
    load = await new_load(three)
    load.addresses = [three.urls[name] for name in PROCESSES]
    async with transactions_stay_open(mongo, seconds=60), watched(three):
        load.start(workers=WORKERS, pause_seconds=0.0)
        for _ in range(KILLS):
            await load.until_settled(BETWEEN_KILLS)
            usual = await longest_payment(load)
            victim, before = await ledger_among(three), await holder(ledger_database)
            load.addresses = [three.urls[name] for name in PROCESSES if name != victim]
            three.daemons[victim].kill()
            killed_at = time.monotonic()
            await until_others_pay(load, len(load.operations))
            took = time.monotonic() - killed_at
            assert await holder(ledger_database) != before
            assert took < LEASE_SECONDS + RENEW_SECONDS + usual, (took, usual)
            three.daemons[victim].start()
            await three.until_ready(victim)
            load.addresses.append(three.urls[victim])
        await load.until_settled(BETWEEN_KILLS)
        await load.stop()
    await three.heal()
    tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add("kill -9 of the ledger among three processes", KILLS, tally)


async def test_a_ledger_that_is_stopped_and_goes_on_finds_that_another_decides(
    three: FaultBank, mongo: MongoServer, ledger_database: Database, tallies: TallyRecorder
) -> None:
    """It takes itself for the ledger until its numbers are taken, or it looks at the lease."""
    load = await new_load(three)
    load.addresses = [three.urls[name] for name in PROCESSES]
    async with transactions_stay_open(mongo, seconds=60), watched(three):
        load.start(workers=WORKERS, pause_seconds=0.0)
        for _ in range(KILLS):
            await load.until_settled(BETWEEN_KILLS)
            victim, before = await ledger_among(three), await holder(ledger_database)
            load.addresses = [three.urls[name] for name in PROCESSES if name != victim]
            three.daemons[victim].pause()
            await until_others_pay(load, len(load.operations))
            assert await holder(ledger_database) != before
            load.addresses.append(three.urls[victim])
            three.daemons[victim].resume()
            await load.until_settled(BETWEEN_KILLS)
            assert await ledger_among(three) != victim
        await load.stop()
    await three.heal()
    tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add("SIGSTOP of the ledger among three processes", KILLS, tally)
