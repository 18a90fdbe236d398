"""The cache of users changes what look-ups cost and nothing else: on, off, stopped midway and killed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.events.contract import ANN
from daemons.contracts.internal import UserSummary
from daemons.contracts.permissions import Role
from daemons.notifier.directory import CachedDirectory, Person, UserApiDirectory, forget_changed
from daemons.shared.audit.record import SHELL
from daemons.shared.ids import new_id
from daemons.shared.user_cache import FRESH_SECONDS, UserCache
from tests.support.events import consumed, publishable, user_changed
from tests.support.user_api import UserApi, running_user_api
from tests.support.valkey_server import ValkeyServer


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(tmp_path)
    server.start()
    try:
        await server.until_it_serves()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def cache(valkey: ValkeyServer) -> AsyncIterator[UserCache]:
    made = UserCache(valkey.uri)
    yield made
    await made.close()


def summary(version: int = 1, name: str = "Ann Berg", user_id: str = ANN.user_id) -> UserSummary:
    return UserSummary(id=user_id, email="ann@example.com", display_name=name, version=version)


async def name_in(cache: UserCache, user_id: str = ANN.user_id) -> str | None:
    found = await cache.find([UUID(user_id)])
    return found[UUID(user_id)].user.display_name if found else None


class CountingUsers(UserApiDirectory):
    """Counts how often user_api is asked."""

    asked = 0

    async def fetch(self, user_id: UUID) -> UserSummary | None:
        self.asked += 1
        return await super().fetch(user_id)


class CountingNames(UserDirectory):
    """Counts how many users user_api is asked for."""

    asked = 0

    async def _fetch_from_user_api(self, user_ids: list[UUID], remember_until: float) -> list[UserSummary]:
        self.asked += len(user_ids)
        return await super()._fetch_from_user_api(user_ids, remember_until)


async def test_what_was_kept_is_found_while_it_is_fresh(cache: UserCache) -> None:
    await cache.keep([summary()], read_at=cache.now())
    assert await name_in(cache) == "Ann Berg"
    await cache.keep([summary(name="Old", user_id=str(new_id()))], read_at=cache.now() - FRESH_SECONDS)
    assert await name_in(cache) == "Ann Berg"
    assert await cache.find([new_id()]) == {}


async def test_what_is_a_minute_old_is_not_found(valkey: ValkeyServer) -> None:
    now = 1_000_000.0
    cache = UserCache(valkey.uri, now=lambda: now)
    try:
        await cache.keep([summary()], read_at=now)
        assert await name_in(cache) == "Ann Berg"
        now += FRESH_SECONDS
        assert await name_in(cache) is None
    finally:
        await cache.close()


async def test_a_changed_user_is_forgotten_and_no_older_state_comes_back(cache: UserCache) -> None:
    await cache.keep([summary(version=1)], read_at=cache.now())
    event_id = new_id()
    await forget_changed(cache, [consumed(publishable(event_id, user_changed("display_name")))])
    assert await name_in(cache) is None
    # Somebody had asked user_api before the change, and writes what they heard after it.
    await cache.keep([summary(version=1, name="Before")], read_at=cache.now())
    assert await name_in(cache) is None
    await cache.keep([summary(version=2, name="After")], read_at=cache.now())
    assert await name_in(cache) == "After"
    # The event comes again, and an older one.
    await forget_changed(cache, [consumed(publishable(event_id, user_changed("display_name")))])
    await cache.forget({ANN.user_id: 1})
    assert await name_in(cache) == "After"


async def test_what_is_no_event_of_a_user_is_passed_over(cache: UserCache) -> None:
    await cache.keep([summary()], read_at=cache.now())
    broken = replace(consumed(publishable(new_id(), user_changed("role"))), value=b"{")
    await forget_changed(cache, [broken])
    assert await name_in(cache) == "Ann Berg"


@pytest.mark.parametrize("state", ["off", "on", "killed before", "killed midway", "wrong password"])
async def test_the_results_are_the_same_with_and_without_the_cache(
    mongo_uri: str, database_name: str, valkey: ValkeyServer, state: str
) -> None:
    uri = valkey.uri.replace("the%20password", "another") if state == "wrong password" else valkey.uri
    cache = None if state == "off" else UserCache(uri)
    async with (
        running_user_api(mongo_uri, database_name) as api,
        httpx.AsyncClient(base_url=str(api.http.base_url), timeout=30) as http,
    ):
        users = [await api.register(display_name=name) for name in ("Ann", "Bo", "Cy")]
        wanted = {UUID(user["id"]): str(user["display_name"]) for user in users}
        unknown = new_id()
        if state == "killed before":
            valkey.kill()
        names = CountingNames(http, api.service_tokens, cache=cache)
        persons = CountingUsers(http, api.service_tokens)
        directory = persons if cache is None else CachedDirectory(persons, cache)
        for turn in range(4):
            if state == "killed midway" and turn == 2:
                valkey.kill()
            names._names.clear()
            assert await names.names([*wanted, unknown]) == {**wanted, unknown: None}
            for user in users:
                expected = Person(UUID(user["id"]), user["display_name"], user["email"])
                assert await directory.find(UUID(user["id"])) == expected
            assert await directory.find(unknown) is None
        if state == "on":
            # Three users once, by whichever of both asked first, and the unknown one each time.
            assert (names.asked, persons.asked) == (3 + 4, 4)
        elif state != "killed midway":
            assert (names.asked, persons.asked) == (16, 16)
    if cache is not None:
        await cache.close()


async def test_a_change_is_seen_at_once_by_who_shares_the_cache(
    mongo_uri: str, database_name: str, cache: UserCache
) -> None:
    async with (
        running_user_api(mongo_uri, database_name) as api,
        httpx.AsyncClient(base_url=str(api.http.base_url), timeout=30) as http,
    ):
        user = await api.register()
        directory = CachedDirectory(UserApiDirectory(http, api.service_tokens), cache)
        await directory.find(UUID(user["id"]))
        await renamed(api, UUID(user["id"]))
        [registered, changed] = api.stored("owed_events")["owed_events"]
        assert (registered["event"]["type"], changed["event"]["type"]) == ("UserRegistered", "UserChanged")
        await cache.forget({user["id"]: changed["event"]["data"]["version"]})
        found = await directory.find(UUID(user["id"]))
        assert found is not None
        known = (await cache.find([found.user_id]))[found.user_id]
        assert known.version == changed["event"]["data"]["version"]


async def renamed(api: UserApi, user_id: UUID) -> None:
    """Change the user by an act that exists."""
    await api.administration.change_role(user_id, Role.SUPPORT, actor=SHELL, reason="test")


async def test_a_paused_cache_delays_a_look_up_once(valkey: ValkeyServer) -> None:
    moment = 0.0
    cache = UserCache(valkey.uri, monotonic=lambda: moment)
    try:
        await cache.keep([summary()], read_at=cache.now())
        valkey.pause()
        assert await name_in(cache) is None
        # Left alone: not asked, though it would answer now.
        valkey.resume()
        assert await name_in(cache) is None
        moment += 2
        assert await name_in(cache) == "Ann Berg"
    finally:
        await cache.close()
