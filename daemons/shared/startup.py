"""Starting while other parts are still starting: wait for them, visibly, instead of dying."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina
from pymongo.errors import PyMongoError

from daemons.contracts.errors import TransientError

ResultT = TypeVar("ResultT")


async def wait_until_done(step: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Return the result of the step once it succeeds; stamina logs each failure and pauses 0.1 to 5 s."""
    async for attempt in stamina.retry_context(
        on=(PyMongoError, TransientError), attempts=None, timeout=None, wait_max=5.0
    ):
        with attempt:
            return await step()
    raise RuntimeError("the attempts never end without a result")
