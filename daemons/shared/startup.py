"""Starting while other parts are still starting: wait for them, visibly, instead of dying."""

from collections.abc import Awaitable, Callable

import stamina
from pymongo.errors import PyMongoError

from daemons.contracts.errors import TransientError


async def wait_until_done(step: Callable[[], Awaitable[None]]) -> None:
    """Try the step until it succeeds; stamina logs every failure, with pauses of 0.1 to 5 s."""
    async for attempt in stamina.retry_context(
        on=(PyMongoError, TransientError), attempts=None, timeout=None, wait_max=5.0
    ):
        with attempt:
            await step()
