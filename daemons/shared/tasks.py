"""Ending tasks, and waiting for events."""

import asyncio
from typing import Any

_INSISTENCE_SECONDS = 0.1


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task until it has ended.

    Once may not do: `asyncio.wait_for` before Python 3.12, which the MongoDB driver uses, loses a
    cancellation that comes in the same moment as its result (python/cpython#86296), and a loop would go on.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_INSISTENCE_SECONDS)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, or so long; returns whether it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
