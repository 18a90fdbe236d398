"""Every await of a transfer, of the relay and of the consumer, crashed at: exit, hang and raise."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.bank_processes import FaultBank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, drained
from tests.faults.load import BEYOND_EVERY_BALANCE_MINOR, Load, attempt, new_load
from tests.faults.mongo_server import ABANDONED_TRANSACTION_SECONDS, MongoServer
from tests.faults.report import TallyRecorder
from tests.faults.told import Verdict
from tests.support.waiting import eventually

ACTIONS = tuple(os.environ.get("CRASH_ACTIONS", "exit,raise,hang").split(","))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
# One that hangs is given up soon: nothing but its killer ends it.
TIMEOUT_SECONDS = 0.5
REFUSED_SHARE = 0.2
REPEATED_SHARE = 0.25
KNOWS_TOO_MUCH_AFTER = {"banking_api": 5, "notifier": 40}
"""Payments after which a process that has not come to a point is started anew: some only a new one passes."""
# However the daemon is built inside, it has to pass these.
SURE_POINTS = {
    "banking_api": {
        "before find accounts",
        "after find accounts",
        "before aggregate accounts",
        "after aggregate accounts",
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
        "before storing offsets",
        "after storing offsets",
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


@pytest.mark.timeout(1800 * ROUNDS)
@pytest.mark.parametrize("kind", list(SURE_POINTS))
async def test_crashes_at_every_point_lose_nothing(
    crashing_bank: FaultBank, kind: str, tallies: TallyRecorder
) -> None:
    bank = crashing_bank
    load = await new_load(bank, people=1, accounts_each=12)
    points = await passed_points(bank, load, kind)
    orders = [f"{action} {point}" for action in ACTIONS for point in points] * ROUNDS
    for order in orders:
        assert await crash(bank, load, kind, order), f"{kind} never came to: {order}"
    tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add(f"{kind} at every await: {', '.join(ACTIONS)}", len(orders), tally)


async def passed_points(bank: FaultBank, load: Load, kind: str) -> list[str]:
    """Name every point that transfers pass on their way into the event log, in a process that knows nothing.

    What is written down of the accounts lags, so numbers are found taken and looked for in the journal. The
    process killed just before is still taken for another one that posts: the first groups take turns with it.
    """
    await drained(bank)
    control = bank.crash_control(kind)
    passed = control.with_name(control.name + ".passed")
    passed.touch()
    await start_anew(bank, kind)
    control.write_text("record ")

    async def passed_all() -> bool:
        await pay(load)
        return set(passed.read_text().splitlines()) >= SURE_POINTS[kind]

    try:
        await eventually(passed_all)
    except TimeoutError:
        raise AssertionError(f"{kind} passes only {passed.read_text()}") from None
    control.unlink()
    # What only a new process does is passed once.
    await start_anew(bank, kind)
    return list(dict.fromkeys(passed.read_text().splitlines()))


async def start_anew(bank: FaultBank, kind: str) -> None:
    kill_child(bank, kind)
    await bank.until_ready(kind)


def kill_child(bank: FaultBank, kind: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(bank.child_pid(kind), signal.SIGKILL)


async def crash(bank: FaultBank, load: Load, kind: str, order: str) -> bool:
    """Give the order, make it happen, and see the daemon at work again; False if it never came to that."""
    control = bank.crash_control(kind)
    control.write_text(order)
    payment = asyncio.create_task(pay(load))
    answered = 0

    async def struck() -> bool:
        nonlocal answered
        if not control.exists():
            return True
        if payment.done():
            answered += await pay(load) is not Verdict.NOTHING
            if answered >= KNOWS_TOO_MUCH_AFTER[kind]:
                answered = 0
                kill_child(bank, kind)
        return False

    try:
        await eventually(struck)
    except TimeoutError:
        control.unlink(missing_ok=True)
        await payment
        return False
    await payment
    if not order.startswith("exit"):
        # Who hangs is killed in the end; who raised may go on or stand still: both are started anew.
        kill_child(bank, kind)
    await bank.until_ready(kind)
    return True


async def pay(load: Load) -> Verdict:
    chance = load.random.random()
    if load.operations and chance < REPEATED_SHARE:
        # A process that has not seen the key finds it taken, and begins anew.
        operation = load.random.choice(load.operations)
    else:
        operation = load.draw_payment()
        if chance > 1 - REFUSED_SHARE:
            operation.minor = BEYOND_EVERY_BALANCE_MINOR
        load.operations.append(operation)
    return await attempt(operation, timeout_seconds=TIMEOUT_SECONDS)
