"""Waiting on conditions, never for a length of time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

PATIENCE_SECONDS = 60


@asynccontextmanager
async def patience(
    what: str, *, seconds: float = PATIENCE_SECONDS, found: Callable[[], object] = lambda: ""
) -> AsyncIterator[None]:
    """Bound how long the block waits; a TimeoutError tells for what, and what was `found` instead."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        # That the wait was cancelled tells nothing more, and would stand in front of what is told.
        raise TimeoutError(f"waited {seconds:g} s for {what}; {found()}".rstrip("; ")) from None


async def eventually(
    condition: Callable[[], Awaitable[bool]],
    *,
    every_seconds: float = 0.05,
    seconds: float = PATIENCE_SECONDS,
    found: Callable[[], object] = lambda: "",
) -> None:
    """Wait until the condition holds; a TimeoutError, by default after a minute, says that it never did."""
    async with patience(condition.__qualname__, seconds=seconds, found=found):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes
            await asyncio.sleep(every_seconds)
