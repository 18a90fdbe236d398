"""Every await of a ledger, a front with its ledger, and the notifier, crashed at: exit, hang and raise."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from tests.faults.bank_processes import FaultBank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, drained
from tests.faults.load import Load, attempt, new_load
from tests.faults.mongo_server import ABANDONED_TRANSACTION_SECONDS, MongoServer
from tests.faults.report import TallyRecorder
from tests.faults.told import Verdict
from tests.support.waiting import eventually

ACTIONS = tuple(os.environ.get("CRASH_ACTIONS", "exit,raise,hang").split(","))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
# One that hangs is given up soon: nothing but its killer ends it.
TIMEOUT_SECONDS = 0.5
OTHER_SHARE = 0.3
REPEATED_SHARE = 0.2
# Some are passed only after a kill at the right moment: an abort follows from what a dead process left open.
RARE_POINT_SECONDS = 240


def around(*points: str) -> set[str]:
    """Name the points before and after each."""
    return {f"{when} {point}" for point in points for when in ("before", "after")}


@dataclass(frozen=True)
class Subject:
    """What is crashed: daemons, whichever of them comes to the point; and the points that they must pass.

    With `only`, others are not crashed at: they are those of another subject.
    """

    daemons: tuple[str, ...]
    sure_points: set[str]
    answers_before_new: int
    """Answers after which processes that have not come to a point are started anew: new ones pass more."""
    only: set[str] = field(default_factory=set)

    @property
    def is_pair(self) -> bool:
        return len(self.daemons) > 1


# However the daemons are built inside, they have to pass these.
STREAM = around("sending commands", "taking commands", "sending outcomes", "hearing outcomes")
LEASE = around("findAndModify leases apart")
GROUP = around("insert journal", "commitTransaction")
POSITION = around("publish", "update positions apart")
SUBJECTS = {
    "banking_api": Subject(
        ("banking_api",),
        LEASE
        | GROUP
        | POSITION
        | around(
            # What a new process looks for: the chain's end, accounts, their newest entries, keys.
            "find accounts",
            "find journal",
            # Accounts' terms with the record that changes them; balances written down later.
            "update accounts",
            "update accounts apart",
            # What the audit keeps of an act.
            "findAndModify audit_head",
            "insert audit",
            "update audit_head",
        ),
        answers_before_new=8,
    ),
    "a front and its ledger": Subject(
        ("banking_api", "banking_api2"),
        STREAM | LEASE | GROUP | POSITION,
        answers_before_new=8,
        only=STREAM | LEASE | GROUP | POSITION,
    ),
    "notifier": Subject(
        ("notifier",),
        around("insert events", "commitTransaction", "storing offsets"),
        answers_before_new=15,
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crashing_bank(shared_bank: FaultBank, mongo: MongoServer) -> AsyncIterator[FaultBank]:
    """The bank, while its banking_api and notifier have crash points and are started again as they end."""
    await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": 1})
    for kind in ("banking_api", "notifier"):
        await shared_bank.remove_daemon(kind)
        shared_bank.add_daemon(kind, under_crash_points=True)
    await shared_bank.until_ready()
    yield shared_bank
    for kind in ("banking_api", "notifier"):
        await shared_bank.remove_daemon(kind)
        shared_bank.add_daemon(kind)
    lifetime = ABANDONED_TRANSACTION_SECONDS
    await mongo.command({"setParameter": 1, "transactionLifetimeLimitSeconds": lifetime})


@pytest_asyncio.fixture
async def subject(crashing_bank: FaultBank, request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    """The subject, all of its daemons running."""
    found = SUBJECTS[request.param]
    more = [name for name in found.daemons if name not in crashing_bank.daemons]
    for name in more:
        crashing_bank.add_daemon("banking_api", name=name, under_crash_points=True)
    await crashing_bank.until_ready(*more)
    yield found
    for name in more:
        await crashing_bank.remove_daemon(name)


@pytest.mark.timeout(1800 * ROUNDS)
@pytest.mark.parametrize("subject", list(SUBJECTS), indirect=True)
async def test_crashes_at_every_point_lose_nothing(
    crashing_bank: FaultBank, subject: Subject, tallies: TallyRecorder, request: pytest.FixtureRequest
) -> None:
    load = await new_load(crashing_bank, people=1, accounts_each=12)
    if "banking_api" in subject.daemons:
        load.addresses = [crashing_bank.urls[name] for name in subject.daemons]
    crashes = Crashes(crashing_bank, subject, load)
    points = await crashes.passed_points()
    orders = [f"{action} {point}" for action in ACTIONS for point in points] * ROUNDS
    for order in orders:
        assert await crashes.crash(order), f"{subject.daemons} never came to: {order}"
    tally = await assert_nothing_lost_nothing_twice(load)
    name = request.node.callspec.params["subject"]
    tallies.add(f"{name} at every await: {', '.join(ACTIONS)}", len(orders), tally)


class Crashes:
    """Crashes a subject under a load of which each step is one request."""

    def __init__(self, bank: FaultBank, subject: Subject, load: Load) -> None:
        self._bank = bank
        self._subject = subject
        self._load = load
        self._controls = {name: bank.crash_control(name) for name in subject.daemons}

    async def passed_points(self) -> list[str]:
        """Name every point that requests pass on their way into the event log, in processes that are new.

        They know nothing, and what is written down of the accounts lags, so numbers are found taken and
        looked for in the journal.
        """
        await drained(self._bank)
        passed = [control.with_name(control.name + ".passed") for control in self._controls.values()]
        for control, file in zip(self._controls.values(), passed, strict=True):
            file.touch()
            control.write_text("record ")
        await self._start_anew()

        def names() -> list[str]:
            found = [line for file in passed for line in file.read_text().splitlines()]
            only = self._subject.only
            return [name for name in dict.fromkeys(found) if not only or name in only]

        async def passed_all() -> bool:
            await self._ask()
            return set(names()) >= self._subject.sure_points

        try:
            await eventually(passed_all)
        except TimeoutError:
            missing = self._subject.sure_points - set(names())
            raise AssertionError(f"never passed: {sorted(missing)}, but {names()}") from None
        for control in self._controls.values():
            control.unlink()
        # What only a new process does is passed once.
        await self._start_anew()
        return names()

    async def crash(self, order: str) -> bool:
        """Give the order, make it happen, and see the subject at work again; False if none came to that."""
        for control in self._controls.values():
            control.write_text(order)
        asking = asyncio.create_task(self._ask())
        supervising = asyncio.create_task(self._ask_for_readiness())
        answered = 0

        async def struck() -> bool:
            nonlocal asking, answered
            if self._struck():
                return True
            if asking.done():
                answered += asking.result() is not Verdict.NOTHING
                if answered >= self._subject.answers_before_new:
                    answered = 0
                    self._kill(*self._subject.daemons)
                asking = asyncio.create_task(self._ask())
            return False

        try:
            await eventually(struck, seconds=RARE_POINT_SECONDS)
        except TimeoutError:
            return False
        finally:
            victims = self._struck()
            for control in self._controls.values():
                control.unlink(missing_ok=True)
            supervising.cancel()
            await asyncio.wait([supervising])
            await asking
        await self._end(order.partition(" ")[0], victims)
        await self._bank.until_ready(*self._subject.daemons)
        return True

    async def _end(self, action: str, victims: list[str]) -> None:
        if action == "hang" and self._subject.is_pair:
            # Its time stands still until another has done its work; it knows nothing of that.
            others = [name for name in self._subject.daemons if name not in victims]
            await self._until_answered(others)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._bank.child_pid(victim), signal.SIGCONT)
        elif action != "exit":
            # Who hangs is killed in the end; who raised may go on or stand still: both are started anew.
            self._kill(*victims)

    async def _ask_for_readiness(self) -> None:
        """Ask all the while, as what supervises a daemon does: readiness has points of its own."""
        while True:
            for name in self._subject.daemons:
                await self._bank.is_ready(name)
            await asyncio.sleep(TIMEOUT_SECONDS)

    async def _until_answered(self, daemons: list[str]) -> None:
        async def answered() -> bool:
            operation = self._load.draw_payment()
            self._load.operations.append(operation)
            at = self._bank.urls[daemons[0]]
            return await attempt(operation, timeout_seconds=2.0, at=at) is not Verdict.NOTHING

        if daemons:
            await eventually(answered)

    def _struck(self) -> list[str]:
        return [name for name, control in self._controls.items() if not control.exists()]

    async def _start_anew(self) -> None:
        self._kill(*self._subject.daemons)
        await self._bank.until_ready(*self._subject.daemons)

    def _kill(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._bank.child_pid(name), signal.SIGKILL)

    async def _ask(self) -> Verdict:
        load, chance = self._load, self._load.random.random()
        at = load.random.choice(load.addresses) if load.addresses else None
        if chance < OTHER_SHARE:
            return await load.do_something_else(TIMEOUT_SECONDS, at=at)
        if load.operations and chance < OTHER_SHARE + REPEATED_SHARE:
            # A process that has not seen the key finds it taken, and begins anew.
            operation = load.random.choice(load.operations)
        else:
            operation = load.draw()
            load.operations.append(operation)
        return await attempt(operation, timeout_seconds=TIMEOUT_SECONDS, at=at)
