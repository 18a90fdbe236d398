"""Guessing is slow, for every account and from every address, and never locks anybody out for good."""

import asyncio
import itertools
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from daemons.contracts.names import DEVICE_COOKIE
from tests.support.user_api import (
    PASSWORD,
    MovableClock,
    StandingClock,
    UserApi,
    device_token_in,
    new_email,
    running_user_api,
    token_in,
)

_numbers = itertools.count()
FREE = {"account_free_failures": 3, "address_free_failures": 1000}


def wrong() -> str:
    """Return another wrong password each time, as somebody who guesses has it."""
    return f"wrong words {next(_numbers)}"


async def guess(api: UserApi, email: str, password: str = "", **headers: str) -> httpx.Response:
    password = password or wrong()
    return await api.call("POST", "/auth/login", {"email": email, "password": password}, **headers)


def held_back(answer: httpx.Response) -> int:
    """Return the seconds for which an answer holds its caller back."""
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited"), answer.text
    assert answer.headers["Retry-After"] == str(answer.json()["retry_after_seconds"])
    return int(answer.headers["Retry-After"])


@pytest.mark.parametrize("known", [True, False])
async def test_after_some_wrong_passwords_each_further_one_doubles_the_pause(
    mongo_uri: str, database_name: str, *, known: bool
) -> None:
    clock = StandingClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, **FREE) as api:
        email = (await api.register())["email"] if known else new_email()
        statuses = [(await guess(api, email)).status_code for _ in range(4)]
        assert statuses == [401, 401, 401, 401]
        for pause in (1, 2, 4, 8):
            waiting = [await guess(api, email), await guess(api, email, PASSWORD)]
            assert [held_back(answer) for answer in waiting] == [pause, pause]
            clock.ahead += timedelta(seconds=pause)
            assert (await guess(api, email)).status_code == 401


async def test_the_pause_is_bounded_and_the_right_password_forgets_the_failures(
    mongo_uri: str, database_name: str
) -> None:
    clock = MovableClock()
    settings = {**FREE, "account_longest_pause_seconds": 4}
    async with running_user_api(mongo_uri, database_name, clock=clock, **settings) as api:
        user = await api.register()
        for _ in range(12):
            await guess(api, user["email"])
            clock.ahead += timedelta(seconds=4)
        await guess(api, user["email"])
        assert held_back(await guess(api, user["email"])) <= 4
        clock.ahead += timedelta(seconds=4)
        await api.sign_in(user["email"])
        statuses = [(await guess(api, user["email"])).status_code for _ in range(4)]
        assert statuses == [401] * 4
        assert (await guess(api, user["email"])).status_code == 429


async def test_the_count_holds_across_processes_and_restarts(mongo_uri: str, database_name: str) -> None:
    async with (
        running_user_api(mongo_uri, database_name, **FREE) as one,
        running_user_api(mongo_uri, database_name, **FREE) as two,
    ):
        email = new_email()
        for api in (one, two, one, two):
            assert (await guess(api, email)).status_code == 401
        assert [(await guess(api, email)).status_code for api in (one, two)] == [429, 429]
        await guess(one, email)
    clock = MovableClock(timedelta(seconds=1))
    async with running_user_api(mongo_uri, database_name, clock=clock, **FREE) as again:
        await guess(again, email)
        assert held_back(await guess(again, email)) <= 2


async def test_many_guesses_at_once_are_not_all_the_first(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, **FREE) as api:
        email = new_email()
        begun = time.monotonic()
        answers = await asyncio.gather(*(guess(api, email) for _ in range(30)))
        statuses = [answer.status_code for answer in answers]
        # Each pause that has gone by, of a second or more, lets one further guess through.
        assert statuses.count(401) <= 4 + (time.monotonic() - begun)
        assert set(statuses) == {401, 429}


async def test_an_address_that_tries_many_accounts_is_held_back_and_others_are_not(
    mongo_uri: str, database_name: str
) -> None:
    settings: dict[str, Any] = {"account_free_failures": 3, "address_free_failures": 5}
    async with running_user_api(mongo_uri, database_name, **settings) as api:
        user = await api.register()
        spraying = "2001:db8:1:2::"
        for number in range(6):
            answer = await guess(api, new_email(), X_Forwarded_For=f"{spraying}{number}")
            assert answer.status_code == 401
        held_back(await guess(api, new_email(), X_Forwarded_For=f"{spraying}77"))
        held_back(await guess(api, user["email"], PASSWORD, X_Forwarded_For=f"{spraying}78"))
        answer = await guess(api, user["email"], PASSWORD, X_Forwarded_For="2001:db8:1:3::1")
        assert answer.status_code == 200


async def test_an_own_account_does_not_wash_an_address(mongo_uri: str, database_name: str) -> None:
    settings: dict[str, Any] = {"account_free_failures": 3, "address_free_failures": 5}
    async with running_user_api(mongo_uri, database_name, **settings) as api:
        own = await api.register()
        for _ in range(6):
            assert (await guess(api, new_email())).status_code == 401
            if (await guess(api, own["email"], PASSWORD)).status_code == 429:
                break
        held_back(await guess(api, new_email()))


async def test_what_was_not_judged_is_not_counted(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, hashing_workers=1, hashing_queue=1, **FREE) as api:
        email = new_email()
        busy = await asyncio.gather(*(guess(api, new_email()) for _ in range(10)), guess(api, email))
        assert 503 in {answer.status_code for answer in busy}
        counts = api.stored("sign_in_attempts")["sign_in_attempts"]
        judged = sum(answer.status_code == 401 for answer in busy)
        # Each is counted for its account, and all of them for the one address.
        assert sum(one["failures"] for one in counts) == 2 * judged


async def test_the_current_password_cannot_be_guessed_with_a_session_either(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, **FREE) as api:
        person = await api.person()
        statuses = []
        for _ in range(5):
            body = {"current_password": wrong(), "new_password": "eleven loud herons"}
            statuses.append((await person.call("POST", "/auth/change-password", body)).status_code)
        assert statuses == [401, 401, 401, 401, 429]


async def test_the_counts_do_not_tell_whose_they_are(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, **FREE) as api:
        user = await api.register()
        await guess(api, user["email"])
        assert user["email"] not in str(api.stored("sign_in_attempts"))


async def from_device(api: UserApi, email: str, device: str, password: str = PASSWORD) -> httpx.Response:
    return await guess(api, email, password, Cookie=f"{DEVICE_COOKIE}={device}")


async def hold_back_everybody(api: UserApi, email: str) -> None:
    """Guess at the account, and at others from the same address, until both have to wait."""
    while (await guess(api, email)).status_code == 401:
        pass
    while (await guess(api, new_email())).status_code == 401:
        pass


LOW: dict[str, Any] = {"account_free_failures": 3, "address_free_failures": 8}


async def test_strangers_guesses_do_not_keep_the_owner_out_who_comes_with_a_known_device(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StandingClock(), **LOW) as api:
        owner = await api.register()
        device = device_token_in(await guess(api, owner["email"], PASSWORD))
        await hold_back_everybody(api, owner["email"])

        held_back(await guess(api, owner["email"], PASSWORD))
        for _ in range(3):
            assert (await from_device(api, owner["email"], device)).status_code == 200
        held_back(await guess(api, owner["email"], PASSWORD))


async def test_a_known_device_stays_known_after_signing_out_and_keeps_its_token(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StandingClock(), **LOW) as api:
        owner = await api.register()
        first = await guess(api, owner["email"], PASSWORD)
        device = device_token_in(first)
        assert (await api.call("POST", "/auth/logout", token=token_in(first))).status_code == 204
        again = await from_device(api, owner["email"], device)
        assert (again.status_code, device_token_in(again)) == (200, device)
        [cookie] = [one for one in again.headers.get_list("Set-Cookie") if one.startswith(DEVICE_COOKIE)]
        assert {"HttpOnly", "Path=/", "SameSite=Strict", "Secure"} <= set(cookie.split("; "))
        assert len(api.stored("devices")["devices"]) == 1
        assert device not in str(api.stored("devices", "users", "sessions", "audit"))


async def test_a_known_device_has_a_back_off_of_its_own(mongo_uri: str, database_name: str) -> None:
    clock = StandingClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, **LOW) as api:
        owner = await api.register()
        device = device_token_in(await guess(api, owner["email"], PASSWORD))
        statuses = [(await from_device(api, owner["email"], device, wrong())).status_code for _ in range(5)]
        assert statuses == [401, 401, 401, 401, 429]
        held_back(await from_device(api, owner["email"], device))
        # Others are not held back by what the device has guessed, nor does it gain guesses by leaving it.
        assert (await guess(api, owner["email"])).status_code == 401
        clock.ahead += timedelta(seconds=2)
        assert (await from_device(api, owner["email"], device)).status_code == 200


async def test_a_device_helps_its_own_user_only_and_a_made_up_one_nobody(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StandingClock(), **LOW) as api:
        owner, thief = await api.register(), await api.register()
        foreign = device_token_in(await guess(api, thief["email"], PASSWORD))
        await hold_back_everybody(api, owner["email"])
        for device in (foreign, "x" * 43, ""):
            held_back(await from_device(api, owner["email"], device))
            held_back(await from_device(api, owner["email"], device, wrong()))


async def test_a_new_password_forgets_the_devices(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StandingClock(), **LOW) as api:
        owner = await api.register()
        signed_in = await guess(api, owner["email"], PASSWORD)
        device, new = device_token_in(signed_in), "eleven loud herons"
        body = {"current_password": PASSWORD, "new_password": new}
        changed = await api.call("POST", "/auth/change-password", body, token=token_in(signed_in))
        assert changed.status_code == 204
        assert api.stored("devices")["devices"] == []
        await hold_back_everybody(api, owner["email"])
        held_back(await from_device(api, owner["email"], device, new))


async def test_a_device_is_forgotten_half_a_year_after_its_last_sign_in(
    mongo_uri: str, database_name: str
) -> None:
    clock = StandingClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, **LOW) as api:
        owner = await api.register()
        device = device_token_in(await guess(api, owner["email"], PASSWORD))
        for days, known in ((170, True), (170, True), (181, False)):
            clock.ahead += timedelta(days=days)
            await hold_back_everybody(api, owner["email"])
            answer = await from_device(api, owner["email"], device)
            assert answer.status_code == (200 if known else 429)


async def register_from(api: UserApi, address: str, **changes: str) -> httpx.Response:
    fields = {"email": new_email(), "display_name": "Ann Other", "password": PASSWORD, **changes}
    return await api.call("POST", "/users", fields, X_Forwarded_For=address)


async def test_only_so_many_register_from_one_address_across_processes(
    mongo_uri: str, database_name: str
) -> None:
    clock = StandingClock()
    few = {"address_free_sign_ups": 3}
    async with (
        running_user_api(mongo_uri, database_name, clock=clock, **few) as one,
        running_user_api(mongo_uri, database_name, clock=clock, **few) as two,
    ):
        office = "192.0.2.7"
        # What is refused for its content does not count.
        assert (await register_from(one, office, password="short")).status_code == 422
        for api in (one, two, one, two):
            assert (await register_from(api, office)).status_code == 201
        assert held_back(await register_from(one, office)) <= 1
        assert held_back(await register_from(two, office)) <= 1
        assert (await register_from(one, "192.0.2.8")).status_code == 201
        clock.ahead += timedelta(seconds=1)
        assert (await register_from(two, office)).status_code == 201
        assert held_back(await register_from(one, office)) <= 2


async def test_taken_addresses_count_as_sign_ups_too(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(
        mongo_uri, database_name, clock=StandingClock(), address_free_sign_ups=3
    ) as api:
        taken = (await api.register())["email"]
        statuses = [(await register_from(api, "192.0.2.7", email=taken)).status_code for _ in range(5)]
        assert statuses == [201, 201, 201, 201, 429]
