"""Ending tasks."""

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
