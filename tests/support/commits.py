"""Commits of database transactions that wait, fail or are not answered: by the driver's own face."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure

_TIME_RAN_OUT = 50
"""With this code the driver does not ask for the commit again."""


class HeldCommits:
    """Commits that wait until `release`; with an error they are undone and end with it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        """Set as soon as one waits."""
        self.count = 0
        """How many have come so far."""
        self._released = asyncio.Event()
        self._error: Exception | None = None

    def release(self, error: Exception | None = None) -> None:
        """Let those that wait go on, and those that come later; what is said later counts for nothing."""
        if not self._released.is_set():
            self._error = error
            self._released.set()

    async def wait(self, session: AsyncClientSession) -> None:
        """Wait for the release."""
        self.count += 1
        self.reached.set()
        await self._released.wait()
        if self._error is not None:
            await session.abort_transaction()
            raise self._error


@contextmanager
def held_commits() -> Iterator[HeldCommits]:
    """Hold every commit within the block."""
    held, commit = HeldCommits(), AsyncClientSession.commit_transaction

    async def wait(session: AsyncClientSession) -> None:
        await held.wait(session)
        await commit(session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncClientSession, "commit_transaction", wait)
        try:
            yield held
        finally:
            # Whoever fails within the block leaves nobody waiting.
            held.release()


@contextmanager
def unanswered_commits(*, undone: bool = False) -> Iterator[None]:
    """Let no commit's answer arrive within the block; `undone`: nor the commit itself."""
    commit = AsyncClientSession.commit_transaction

    async def unanswered(session: AsyncClientSession) -> None:
        await (session.abort_transaction() if undone else commit(session))
        labels = {"errorLabels": ["UnknownTransactionCommitResult"]}
        raise OperationFailure("by the test", _TIME_RAN_OUT, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncClientSession, "commit_transaction", unanswered)
        yield
