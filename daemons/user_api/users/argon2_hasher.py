"""Password hashes by Argon2id, in a few threads of their own so that the event loop never waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from daemons.contracts.errors import TransientError

ResultT = TypeVar("ResultT")


class Argon2Hasher:
    """Hashes and verifies; each takes about 30 ms and 19 MiB, so at most `workers` run and `queue` wait."""

    def __init__(self, *, workers: int, queue: int) -> None:
        # OWASP's minimum for Argon2id (ASVS 5.0 V11.4.2): 19 MiB, 2 passes, 1 lane.
        self._argon2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._dummy_hash = self._argon2.hash("of nobody")
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._limit = workers + queue
        self._taken = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store, with its salt and parameters in it.

        Raises:
            TransientError: `overloaded`.
        """
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Tell whether the password is right; for an unknown user (no hash) the same work is done.

        Raises:
            TransientError: `overloaded`.
        """
        return await self._run(lambda: self._verify(password, password_hash))

    def close(self) -> None:
        """Let running work end and take no more."""
        self._pool.shutdown()

    def _verify(self, password: str, password_hash: str | None) -> bool:
        try:
            self._argon2.verify(password_hash or self._dummy_hash, password)
        except VerifyMismatchError:
            return False
        return password_hash is not None

    async def _run(self, work: Callable[[], ResultT]) -> ResultT:
        if self._taken >= self._limit:
            raise TransientError(
                "overloaded", "Too many people sign in at this moment; try again.", retry_after_seconds=1
            )
        self._taken += 1
        future = self._pool.submit(work)
        # Counted until the thread is done: a caller who gave up does not make the work go away.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._release))
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._taken -= 1
