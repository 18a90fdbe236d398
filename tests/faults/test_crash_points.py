"""Every await of a transfer, of the relay and of the consumer, crashed at: exit, hang and raise."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.bank_processes import FaultBank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, drained
from tests.faults.load import Load, attempt, new_load
from tests.faults.mongo_server import ABANDONED_TRANSACTION_SECONDS, MongoServer
from tests.faults.tally import Tallies
from tests.support.waiting import eventually

EVERYTHING = os.environ.get("FAULTS") == "all"
# `make test` crashes at every point; the slower ways to crash it tries where most hangs on them.
DECISIVE = ("commitTransaction", "publish", "delete outbox", "insert events", "offsets")
# However the daemon is built inside, it has to pass these.
SURE_POINTS = {
    "banking_api": {
        "before find accounts",
        "after find accounts",
        "before insert journal",
        "after insert journal",
        "before insert outbox",
        "after insert outbox",
        "before commitTransaction",
        "after commitTransaction",
        "before publish",
        "after publish",
        "before delete outbox",
        "after delete outbox",
    },
    "notifier": {
        "before insert events",
        "after insert events",
        "before commitTransaction",
        "after commitTransaction",
        "before committing offsets",
        "after committing offsets",
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crashing_bank(shared_bank: FaultBank, mongo: MongoServer) -> AsyncIterator[FaultBank]:
    """The bank, while its banking_api and notifier have crash points and are started again as they end."""
    await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": 1})
    for kind in SURE_POINTS:
        await shared_bank.remove_daemon(kind)
        shared_bank.add_daemon(kind, under_crash_points=True)
    await shared_bank.until_ready()
    yield shared_bank
    for kind in SURE_POINTS:
        await shared_bank.remove_daemon(kind)
        shared_bank.add_daemon(kind)
    lifetime = ABANDONED_TRANSACTION_SECONDS
    await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": lifetime})


@pytest.mark.parametrize("kind", list(SURE_POINTS))
async def test_crashes_at_every_point_lose_nothing(
    crashing_bank: FaultBank, kind: str, tallies: Tallies
) -> None:
    bank = crashing_bank
    load = await new_load(bank, people=1, accounts_each=12)
    points = await passed_points(bank, load, kind)
    decisive = [point for point in points if EVERYTHING or point.endswith(DECISIVE)]
    raising = points if kind == "banking_api" else decisive
    orders = [f"exit {point}" for point in points]
    orders += [f"raise {point}" for point in raising] + [f"hang {point}" for point in decisive]
    for order in orders:
        await crash(bank, load, kind, order)
    tallies.add(f"{kind} at every await", len(orders), await assert_nothing_lost_nothing_twice(load))


async def passed_points(bank: FaultBank, load: Load, kind: str) -> list[str]:
    """Name every point that one transfer passes on its way into the event log."""
    await drained(bank)
    control = bank.crash_control(kind)
    passed = control.with_name(control.name + ".passed")
    passed.touch()
    control.write_text("record ")
    await pay(load)

    async def passed_all() -> bool:
        return set(passed.read_text().splitlines()) >= SURE_POINTS[kind]

    try:
        await eventually(passed_all)
    except TimeoutError:
        raise AssertionError(f"{kind} passes only {passed.read_text()}") from None
    control.unlink()
    return list(dict.fromkeys(passed.read_text().splitlines()))


async def crash(bank: FaultBank, load: Load, kind: str, order: str) -> None:
    """Give the order, make it happen, and see the daemon at work again."""
    control = bank.crash_control(kind)
    child = bank.child_pid(kind)
    control.write_text(order)
    payment = asyncio.create_task(pay(load))

    async def struck() -> bool:
        if not control.exists():
            return True
        if payment.done():
            await pay(load)
        return False

    try:
        await eventually(struck)
    except TimeoutError:
        raise AssertionError(f"{kind} never came to: {order}") from None
    await payment
    if not order.startswith("exit"):
        # Who hangs is killed in the end; who raised may go on or stand still: both are started anew.
        os.kill(child, signal.SIGKILL)
    await bank.until_ready(kind)


async def pay(load: Load) -> None:
    operation = load.draw_payment()
    load.operations.append(operation)
    await attempt(operation, timeout_seconds=1.0)
