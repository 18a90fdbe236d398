"""What a process remembers of batches is bounded, and so is how many wait."""

import asyncio
import gc
from contextlib import ExitStack
from uuid import uuid4

import pytest

from daemons.banking_api.ledger import batches as batches_module
from daemons.banking_api.ledger.batches import (
    KNOWN_LIMIT,
    WAITING_LIMIT,
    Batch,
    Batches,
    Turn,
    before_not_settled,
)
from daemons.contracts.errors import BankError, ConflictError, RejectedError, TransientError

ALICE, BOB = uuid4(), uuid4()
TRANSIENT = TransientError("unavailable", "no")


async def test_a_batch_forgotten_among_many_is_followed_by_none() -> None:
    succession = Batches()
    for number in range(KNOWN_LIMIT + 1):
        with succession.turn(ALICE, last_key=str(number), after=None) as turn:
            turn.begun()
    with succession.turn(ALICE, last_key="late", after="0") as turn:
        assert not turn.has_come
        with pytest.raises(ConflictError) as refused:
            await turn.come()
        assert refused.value.code == "batch_before_not_settled"
    with succession.turn(ALICE, last_key="next", after=str(KNOWN_LIMIT)) as turn:
        assert turn.has_come


async def test_as_many_batches_as_may_be_are_remembered() -> None:
    succession = Batches()
    for number in range(KNOWN_LIMIT):
        with succession.turn(ALICE, last_key=str(number), after=None) as turn:
            turn.begun()
    with succession.turn(ALICE, last_key="next", after="0") as turn:
        assert turn.has_come


async def test_a_batch_that_came_too_early_may_begin_once_the_one_before_has() -> None:
    succession = Batches()
    with succession.turn(ALICE, last_key="two", after="one") as second:
        waiting = asyncio.create_task(second.come())
        await asyncio.sleep(0)
        with succession.turn(ALICE, last_key="one", after=None) as first:
            first.begun()
            await waiting


async def test_a_batch_does_not_wait_for_ever_for_one_that_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches_module, "LONGEST_WAIT_SECONDS", 0.01)
    succession = Batches()
    with (
        succession.turn(ALICE, last_key="one", after=None),
        succession.turn(ALICE, last_key="two", after="one") as second,
        pytest.raises(ConflictError),
    ):
        await second.come()


async def test_a_batch_that_breaks_off_lets_those_behind_it_go() -> None:
    succession = Batches()
    with succession.turn(ALICE, last_key="one", after=None):
        pass
    with succession.turn(ALICE, last_key="two", after="one") as turn, pytest.raises(ConflictError):
        await turn.come()


async def test_only_so_many_of_one_user_wait() -> None:
    succession = Batches()
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
        # Whoever waits no longer leaves room for one more.
        waiting[0].cancel()
        await asyncio.gather(waiting.pop(0), return_exceptions=True)
        waiting.append(asyncio.create_task(behind[0].come()))
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


async def test_a_batch_may_begin_when_the_one_before_has() -> None:
    succession = Batches()
    with (
        succession.turn(ALICE, last_key="one", after=None) as first,
        succession.turn(ALICE, last_key="two", after="one") as second,
    ):
        assert not second.has_come
        first.begun()
        await second.come()
        second.batch.join()
        first.batch.note(RejectedError("insufficient_funds", "no"))
        assert not second.batch.must_not_begin
        first.batch.note(TRANSIENT)
        assert second.batch.must_not_begin


def test_a_batch_is_settled_when_all_of_its_commands_are() -> None:
    first, second = Batch(), Batch()
    second.follows = first
    first.join()
    first.join()
    first.close(whole=True)
    first.end(None)
    assert second.comes_behind_one_of({first})
    first.end(TRANSIENT)
    assert second.must_not_begin


async def test_a_batch_between_two_lets_the_last_depend_on_the_first() -> None:
    succession = Batches()
    with succession.turn(ALICE, last_key="one", after=None) as first:
        first.batch.join()
        first.begun()
        with succession.turn(ALICE, last_key="two", after="one") as second:
            # None of its rows can be ordered.
            second.begun()
        with succession.turn(ALICE, last_key="three", after="two") as third:
            third.batch.join()
            third.begun()
            assert third.batch.comes_behind_one_of({first.batch})
            first.batch.end(TRANSIENT)
            assert third.batch.must_not_begin


def test_nothing_was_done_only_if_every_row_was_refused_for_it() -> None:
    refused = before_not_settled()
    Turn.check([None, None])
    Turn.check([refused, TRANSIENT])
    with pytest.raises(ConflictError):
        Turn.check([None, refused, refused])


@pytest.mark.parametrize("error", [None, TRANSIENT], ids=["settled", "not settled"])
def test_a_long_succession_is_not_kept(error: BankError | None) -> None:
    last, kept = Batch(), batches_alive()
    for _ in range(10):
        batch = Batch(last)
        batch.join()
        last.close(whole=True)
        batch.end(error)
        last = batch
    assert last.unsettled is (error is not None)
    assert batches_alive() <= kept + 1


def batches_alive() -> int:
    gc.collect()
    return sum(isinstance(found, Batch) for found in gc.get_objects())


@pytest.mark.parametrize(
    ("error", "begins"), [(TRANSIENT, False), (RejectedError("insufficient_funds", "no"), True)]
)
def test_a_row_that_could_not_wait_to_be_decided_stops_the_next_batch_unless_a_rule_refused_it(
    error: BankError, *, begins: bool
) -> None:
    succession = Batches()
    with succession.turn(ALICE, last_key="one", after=None) as first:
        first.note(error)
        first.begun()
    with succession.turn(ALICE, last_key="two", after="one") as second:
        assert second.has_come is begins
        assert second.batch.must_not_begin is not begins
