"""The two sides of a comparison, run in turns: A B A B …, so that the machine's noise falls on both."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tests.bench.options import Options
from tests.bench.samples import Round

JobT = TypeVar("JobT")
Run = Callable[[float], Awaitable[Round]]
_MOST_JOBS = 400_000
_WARM_UP_SHARE = 0.5


class Contender:
    """One side; `run` works for about so many seconds."""

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.run = run
        self.rounds: list[Round] = []

    @property
    def rates(self) -> list[float]:
        return [one.rate for one in self.rounds]


async def take_turns(
    contenders: Sequence[Contender], options: Options, *, clean_up: Callable[[], Awaitable[object]]
) -> None:
    """Warm every side up, then let them take turns for the rounds of the run.

    `clean_up` comes before each round: none is to pay for what the one before has left to be done.
    """
    for contender in contenders:
        await contender.run(options.seconds * _WARM_UP_SHARE)
    for _ in range(options.rounds):
        for contender in contenders:
            await clean_up()
            contender.rounds.append(await contender.run(options.seconds))


class Counted(Generic[JobT]):
    """Sizes rounds by the rate of the one before, because their jobs are made before the clock starts."""

    def __init__(
        self,
        make: Callable[[int], list[JobT]],
        do: Callable[[JobT], Awaitable[object]],
        *,
        in_flight: int,
        first_rate: float,
        each: int = 1,
    ) -> None:
        self._make = make
        self._do = do
        self._in_flight = in_flight
        self._rate = first_rate
        self._each = each

    async def __call__(self, seconds: float) -> Round:
        """Do as many jobs as the last rate promises; a job counts for `each` pieces."""
        count = int(self._rate * seconds / self._each)
        jobs = self._make(min(max(count, self._in_flight), _MOST_JOBS))
        taken = await keep_in_flight(self._in_flight, jobs, self._do)
        done = Round(taken.done * self._each, taken.seconds, taken.latencies_seconds)
        self._rate = done.rate
        return done


async def keep_in_flight(
    concurrency: int, jobs: Sequence[JobT], do: Callable[[JobT], Awaitable[object]]
) -> Round:
    """Do all jobs, so many at a time; the time is until the last is done."""
    waiting = iter(jobs)
    latencies: list[float] = []

    async def work() -> None:
        for job in waiting:
            begun = time.perf_counter()
            await do(job)
            latencies.append(time.perf_counter() - begun)

    # The prepared jobs are the harness's own; collecting them again and again would be charged to the engine.
    gc.collect()
    gc.freeze()
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    seconds = time.perf_counter() - begun
    gc.unfreeze()
    return Round(len(jobs), seconds, latencies)
