"""Groups come one after another, whatever becomes of those before them."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.order import CommitOrder, Place, UndoneError
from daemons.banking_api.ledger.seal import Head
from daemons.contracts.names import AccountStatus, AccountType

SHARED = "1"


TERMS = Terms(UUID(int=1), AccountType.CHECKING, AccountStatus.ACTIVE, "EUR")


def account(number: int) -> Account:
    return Account(SHARED, TERMS, number, number)


def seen(place: Place) -> int | None:
    """The number under which those before are about to leave the account."""
    found = place.uncommitted({SHARED, "2"})
    return found[SHARED].sequence if SHARED in found else None


async def is_held(waiting: asyncio.Task[None]) -> bool:
    await asyncio.sleep(0)
    return not waiting.done()


async def decided(order: CommitOrder, number: int) -> Place:
    place = order.join()
    place.begin()
    await place.until_those_before_are_decided()
    place.decide({SHARED: account(number)}, None)
    return place


async def test_the_first_waits_for_nobody() -> None:
    place = await decided(CommitOrder(), 1)
    assert seen(place) is None
    await place.until_those_before_are_committed()
    await place.until_nobody_is_before()


async def test_a_group_sees_what_those_before_are_about_to_commit_and_waits_for_it() -> None:
    order = CommitOrder()
    first = await decided(order, 1)
    second = order.join()
    second.begin()
    await second.until_those_before_are_decided()
    assert seen(second) == 1
    second.uncommitted({SHARED})[SHARED].sequence = 99
    assert seen(second) == 1
    second.decide({}, None)
    third = await decided(order, 2)
    # Nothing of the second's: the nearest that has changed it counts.
    assert seen(third) == 1
    waiting = asyncio.create_task(third.until_those_before_are_committed())
    assert await is_held(waiting)
    first.commit()
    assert await is_held(waiting)
    second.commit()
    await waiting
    assert seen(third) is None


async def test_a_group_is_not_decided_before_the_one_before_it() -> None:
    order = CommitOrder()
    first, second = order.join(), order.join()
    first.begin()
    second.begin()
    waiting = asyncio.create_task(second.until_those_before_are_decided())
    assert await is_held(waiting)
    first.decide({SHARED: account(1)}, None)
    await waiting


async def test_another_attempt_undoes_those_behind() -> None:
    order = CommitOrder()
    first, second, third = [await decided(order, number) for number in (1, 2, 3)]
    behind = [asyncio.create_task(place.until_those_before_are_committed()) for place in (second, third)]
    assert await is_held(behind[0])
    first.begin()
    with pytest.raises(UndoneError):
        await behind[0]
    second.begin()
    with pytest.raises(UndoneError):
        await behind[1]
    again = asyncio.create_task(second.until_those_before_are_decided())
    assert await is_held(again)
    first.decide({SHARED: account(7)}, None)
    await again
    assert seen(second) == 7


async def test_a_commit_of_another_attempt_is_not_what_was_relied_on() -> None:
    order = CommitOrder()
    first = await decided(order, 1)
    second = await decided(order, 2)
    first.begin()
    first.decide({SHARED: account(1)}, None)
    first.commit()
    with pytest.raises(UndoneError):
        await second.until_those_before_are_committed()


async def test_an_attempt_begun_when_nobody_was_before_rests_on_what_was_committed_then() -> None:
    order = CommitOrder()
    first, second = await decided(order, 1), await decided(order, 2)
    # It was decided on another attempt at first.
    first.begin()
    first.decide({SHARED: account(3)}, None)
    with pytest.raises(UndoneError):
        await second.until_those_before_are_committed()
    second.begin()
    waiting = asyncio.create_task(second.until_nobody_is_before())
    assert await is_held(waiting)
    first.commit()
    await waiting
    second.decide({}, None)
    # The first has not left its place yet.
    await second.until_those_before_are_committed()


async def test_those_behind_a_group_that_is_given_up_wait_until_its_place_is_left() -> None:
    order = CommitOrder()
    first = await decided(order, 1)
    second = order.join()
    first.give_up()
    second.begin()
    waiting = asyncio.create_task(second.until_those_before_are_decided())
    # What is tried of it in parts is nothing to rely on.
    first.begin()
    first.decide({SHARED: account(1)}, None)
    first.commit()
    assert await is_held(waiting)
    first.leave()
    await waiting
    assert seen(second) is None
    await second.until_those_before_are_committed()


async def test_behind_a_place_that_was_left_comes_what_was_before_it() -> None:
    order = CommitOrder()
    first = await decided(order, 1)
    second = await decided(order, 2)
    third = order.join()
    second.give_up()
    second.leave()
    third.begin()
    await third.until_those_before_are_decided()
    assert seen(third) == 1
    waiting = asyncio.create_task(third.until_those_before_are_committed())
    alone = asyncio.create_task(third.until_nobody_is_before())
    assert await is_held(waiting)
    assert await is_held(alone)
    first.commit()
    await waiting
    third.begin()
    await alone


@dataclass
class Story:
    """How a group fares: attempts that fail before they are to be committed, and how it ends."""

    failures: int
    given_up: bool
    pauses: list[int] = field(default_factory=list)


STORIES = st.lists(
    st.builds(
        Story,
        failures=st.integers(0, 2),
        given_up=st.booleans(),
        pauses=st.lists(st.integers(0, 3), max_size=6),
    ),
    min_size=1,
    max_size=8,
)


@given(STORIES)
def test_whatever_fails_the_committed_numbers_have_no_gap_and_come_in_order(stories: list[Story]) -> None:
    asyncio.run(tell(stories))


async def tell(stories: Sequence[Story]) -> None:
    """Groups that each give the account its next number, with pauses and failures anywhere."""
    order = CommitOrder()
    kept = 0
    committed: list[int] = []

    async def post(index: int, place: Place, story: Story) -> None:
        nonlocal kept
        pauses = iter(story.pauses)
        failures = story.failures
        while True:
            place.begin()
            await pause(pauses)
            await place.until_those_before_are_decided()
            before = seen(place)
            number = (kept if before is None else before) + 1
            place.decide({SHARED: account(number)}, None)
            await pause(pauses)
            if failures:
                failures -= 1
                continue
            if story.given_up:
                place.give_up()
                return
            try:
                await place.until_those_before_are_committed()
            except UndoneError:
                continue
            await pause(pauses)
            assert number == kept + 1
            kept = number
            committed.append(index)
            place.commit()
            return

    async def run(index: int, place: Place, story: Story) -> None:
        await post(index, place, story)
        await asyncio.sleep(0)
        place.leave()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for index, story in enumerate(stories):
            tasks.create_task(run(index, order.join(), story))
    assert committed == [index for index, story in enumerate(stories) if not story.given_up]


async def pause(pauses: Iterator[int]) -> None:
    """Let the others go on for as many steps as come next."""
    for _ in range(next(pauses, 0)):
        await asyncio.sleep(0)


def test_the_chain_goes_on_where_those_before_are_about_to_end_it() -> None:
    order = CommitOrder()
    first, second, third = order.join(), order.join(), order.join()
    assert third.uncommitted_head() is None
    end, later = Head(7, b"seven", 20, ()), Head(8, b"eight", 21, ())
    first.begin()
    first.decide({}, end)
    second.begin()
    # It keeps nothing, so the chain ends where the first ends it.
    second.decide({}, None)
    assert (first.uncommitted_head(), second.uncommitted_head(), third.uncommitted_head()) == (None, end, end)
    second.begin()
    second.decide({}, later)
    assert third.uncommitted_head() == later
    second.begin()
    assert third.uncommitted_head() == end
    first.commit()
    assert third.uncommitted_head() is None
