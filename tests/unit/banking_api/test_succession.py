"""What a process remembers of batches is bounded, and so is how many wait."""

import asyncio
from contextlib import ExitStack
from uuid import uuid4

import pytest

from daemons.banking_api.services.succession import KNOWN_LIMIT, WAITING_LIMIT, Succession
from daemons.contracts.errors import ConflictError, RejectedError, TransientError

ALICE, BOB = uuid4(), uuid4()


async def test_a_batch_forgotten_among_many_is_followed_by_none() -> None:
    succession = Succession()
    for number in range(KNOWN_LIMIT + 1):
        with succession.turn(ALICE, last_key=str(number), after=None) as turn:
            turn.begun()
            turn.over()
    with succession.turn(ALICE, last_key="late", after="0") as turn:
        assert not turn.has_come
        with pytest.raises(ConflictError):
            await turn.come()
    with succession.turn(ALICE, last_key="next", after=str(KNOWN_LIMIT)) as turn:
        assert turn.has_come


async def test_a_batch_that_breaks_off_lets_those_behind_it_go() -> None:
    succession = Succession()
    with succession.turn(ALICE, last_key="one", after=None):
        pass
    with succession.turn(ALICE, last_key="two", after="one") as turn, pytest.raises(ConflictError):
        await turn.come()


async def test_only_so_many_of_one_user_wait() -> None:
    succession = Succession()
    with ExitStack() as turns:
        first = turns.enter_context(succession.turn(ALICE, last_key="0", after=None))
        behind = [
            turns.enter_context(succession.turn(ALICE, last_key=str(number), after="0"))
            for number in range(1, WAITING_LIMIT + 2)
        ]
        waiting = [asyncio.create_task(turn.come()) for turn in behind[:-1]]
        await asyncio.sleep(0)
        with pytest.raises(ConflictError):
            await behind[-1].come()
        other_first = turns.enter_context(succession.turn(BOB, last_key="0", after=None))
        others = turns.enter_context(succession.turn(BOB, last_key="1", after="0"))
        other = asyncio.create_task(others.come())
        other_first.begun()
        first.begun()
        await asyncio.gather(other, *waiting)
        assert all(turn.has_come for turn in [*behind, others])


async def test_a_batch_may_begin_when_the_one_before_has_and_learns_at_the_end_how_that_went() -> None:
    succession = Succession()
    with (
        succession.turn(ALICE, last_key="one", after=None) as first,
        succession.turn(ALICE, last_key="two", after="one") as second,
        succession.turn(ALICE, last_key="three", after="two") as third,
    ):
        assert not second.has_come
        first.begun()
        await second.come()
        second.begun()
        await third.come()
        third.begun()
        second.batch.heed(RejectedError("insufficient_funds", "no"))
        assert not third.batch.must_not_begin
        second.batch.heed(TransientError("unavailable", "no"))
        assert third.batch.must_not_begin
        second.over()
        assert second.batch.follows is None
        with pytest.raises(ConflictError):
            third.over()
