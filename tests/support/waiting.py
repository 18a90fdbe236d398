"""Waiting on conditions, never for a length of time."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 60


async def eventually(condition: Callable[[], Awaitable[bool]], *, every_seconds: float = 0.05) -> None:
    """Wait until the condition holds; a TimeoutError after a minute says that it never did."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(every_seconds)
