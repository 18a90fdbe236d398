import asyncio
from collections.abc import AsyncIterator

import argon2
import pytest

from daemons.contracts.errors import TransientError
from daemons.user_api.users.argon2_hasher import Argon2Hasher


@pytest.fixture
async def hasher() -> AsyncIterator[Argon2Hasher]:
    made = Argon2Hasher(workers=1, queue=1)
    yield made
    made.close()


async def test_hashes_are_salted_and_as_costly_as_they_must_be(hasher: Argon2Hasher) -> None:
    first, second = await hasher.hash("nine quiet herons"), await hasher.hash("nine quiet herons")
    assert first != second
    parameters = argon2.extract_parameters(first)
    assert parameters.type is argon2.Type.ID
    assert parameters.memory_cost >= 19 * 1024
    assert parameters.time_cost >= 2
    assert parameters.parallelism == 1
    assert argon2.extract_parameters(hasher._dummy_hash) == parameters


async def test_only_the_right_password_of_a_known_user_is_right(hasher: Argon2Hasher) -> None:
    stored = await hasher.hash("nine quiet herons")
    assert await hasher.verify("nine quiet herons", stored)
    assert not await hasher.verify("nine quiet heron", stored)
    assert not await hasher.verify("of nobody", None)


async def test_work_beyond_the_queue_is_refused_and_room_comes_back(hasher: Argon2Hasher) -> None:
    outcomes = await asyncio.gather(*(hasher.verify("x", None) for _ in range(5)), return_exceptions=True)
    assert outcomes[:2] == [False, False]
    assert all(isinstance(outcome, TransientError) for outcome in outcomes[2:])
    assert not await hasher.verify("x", None)


async def test_a_caller_who_gives_up_leaves_the_work_counted_until_it_ends(hasher: Argon2Hasher) -> None:
    waiting = [asyncio.create_task(hasher.verify("x", None)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    assert hasher._taken == 2
    await waiting[1]
    assert not await hasher.verify("x", None)
