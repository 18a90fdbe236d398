"""Registering: an address belongs to the person who confirms it, and nobody is told who is registered."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from tests.support.mail import PlayedNotifier
from tests.support.user_api import PASSWORD, MovableClock, UserApi, new_email, running_user_api
from tests.support.work import done_by

OTHER_PASSWORD = "seven loud geese"


@pytest.fixture(params=["required", "optional"])
async def api(
    request: pytest.FixtureRequest, mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> AsyncIterator[UserApi]:
    """A daemon in which addresses are confirmed first, and one in which they may be confirmed later."""
    async with running_user_api(
        mongo_uri,
        database_name,
        clock=MovableClock(),
        notifier_url=notifier.url,
        registration_confirmed=request.param,
    ) as running:
        yield running


@pytest.fixture
async def strict_api(mongo_uri: str, database_name: str, notifier: PlayedNotifier) -> AsyncIterator[UserApi]:
    async with running_user_api(
        mongo_uri,
        database_name,
        clock=MovableClock(),
        notifier_url=notifier.url,
        registration_confirmed="required",
    ) as running:
        yield running


async def register(api: UserApi, email: str, password: str = PASSWORD, name: str = "Ann") -> httpx.Response:
    body = {"email": email, "display_name": name, "password": password}
    return await api.call("POST", "/users", body)


async def confirm(api: UserApi, email: str, code: str, password: str = PASSWORD) -> httpx.Response:
    return await api.call("POST", "/users/confirm", {"email": email, "code": code, "password": password})


async def login(api: UserApi, email: str, password: str = PASSWORD) -> httpx.Response:
    return await api.call("POST", "/auth/login", {"email": email, "password": password})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_nobody_is_a_user_before_the_address_is_confirmed(
    strict_api: UserApi, notifier: PlayedNotifier
) -> None:
    email = new_email()
    registered = await register(strict_api, email)
    assert registered.status_code == 201
    assert registered.json()["confirmation_required"]
    assert strict_api.stored()["users"] == []
    assert code_of(await login(strict_api, email)) == (401, "invalid_credentials")
    confirmed = await confirm(strict_api, email, await notifier.code("confirm_registration", email))
    assert confirmed.status_code == 200
    assert confirmed.json()["email_confirmed"]
    assert confirmed.json()["id"] == registered.json()["id"]
    assert (await login(strict_api, email)).status_code == 200


async def test_where_it_is_optional_a_user_is_there_at_once_and_may_confirm(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(mongo_uri, database_name, notifier_url=notifier.url) as api:
        email = new_email()
        registered = (await register(api, email)).json()
        assert (registered["confirmation_required"], registered["email_confirmed"]) == (False, False)
        person = await api.sign_in(email)
        # The password may have changed meanwhile: it is the present one that counts.
        change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD, "end_other_sessions": False}
        assert (await person.call("POST", "/auth/change-password", change)).status_code == 204
        assert (await person.call("POST", "/users/me/confirmation", {})).status_code == 204
        code = await notifier.code("confirm_registration", email, count=2)
        assert code == notifier.orders[0].values["code"]
        assert code_of(await confirm(api, email, code)) == (401, "invalid_code")
        assert (await confirm(api, email, code, OTHER_PASSWORD)).status_code == 200
        assert (await person.call("GET", "/users/me")).json()["email_confirmed"]


async def test_a_code_is_good_once_for_an_hour_for_its_address_and_with_its_password(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    assert isinstance(api.clock, MovableClock)
    email, other = new_email(), new_email()
    for one in (email, other):
        await register(api, one)
    code = await notifier.code("confirm_registration", email)
    for wrong in (
        await confirm(api, other, code),
        await confirm(api, email, code, OTHER_PASSWORD),
        await confirm(api, email, "AAAA-BBBB-CCCC-DDDD"),
        await confirm(api, new_email(), code),
    ):
        assert code_of(wrong) == (401, "invalid_code")
    assert (await confirm(api, email, code.lower().replace("-", " "))).status_code == 200
    assert code_of(await confirm(api, email, code)) == (401, "invalid_code")
    late = await notifier.code("confirm_registration", other)
    api.clock.ahead += timedelta(hours=1)
    assert code_of(await confirm(api, other, late)) == (401, "invalid_code")


async def test_many_who_confirm_at_once_do_it_once(api: UserApi, notifier: PlayedNotifier) -> None:
    email = new_email()
    await register(api, email)
    code = await notifier.code("confirm_registration", email)
    answers = await asyncio.gather(*(confirm(api, email, code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]


async def test_an_unconfirmed_squatter_loses_the_address_to_who_confirms_it(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    email = new_email()
    squatter = (await register(api, email, OTHER_PASSWORD, "Eve")).json()
    await notifier.message("confirm_registration", email)
    sessions = (await login(api, email, OTHER_PASSWORD)).status_code
    owner = (await register(api, email)).json()
    code = await notifier.code("confirm_registration", email, count=2)
    confirmed = await confirm(api, email, code)
    assert confirmed.json()["id"] == owner["id"] != squatter["id"]
    assert (await login(api, email)).json()["user"]["display_name"] == "Ann"
    assert code_of(await login(api, email, OTHER_PASSWORD)) == (401, "invalid_credentials")
    assert {one["user_id"] for one in api.stored("sessions")["sessions"]} == {
        one["_id"] for one in api.stored()["users"] if one["email"] == email
    }
    # The squatter's own code, which only the owner of the mailbox can have seen, is worth nothing now.
    first = notifier.orders[0].values["code"]
    assert code_of(await confirm(api, email, first, OTHER_PASSWORD)) == (401, "invalid_code")
    actions = [one["action"] for one in api.stored("audit")["audit"]]
    assert ("lose_address" in actions) == (sessions == 200)


async def test_a_code_that_somebody_else_caused_lets_nobody_in(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    email = new_email()
    await register(api, email, OTHER_PASSWORD, "Eve")
    code = await notifier.code("confirm_registration", email)
    # The owner of the address types it with a password of their own.
    assert code_of(await confirm(api, email, code)) == (401, "invalid_code")


async def test_registering_tells_nobody_who_is_registered_but_the_owner(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    email, free = new_email(), new_email()
    await register(api, email)
    await confirm(api, email, await notifier.code("confirm_registration", email))
    answers, works = [], []
    for address in (email, free):
        with done_by(api) as work:
            answers.append(await register(api, address, OTHER_PASSWORD, "Eve"))
        works.append(work)
    shown = [
        {name: value for name, value in answer.json().items() if name not in ("id", "email", "created_at")}
        for answer in answers
    ]
    assert shown[0] == shown[1]
    assert {answer.status_code for answer in answers} == {201}
    if api.settings.confirmation_required:
        assert works[0] == works[1]
    assert sorted(name for name, _ in works[0]) == sorted(name for name, _ in works[1])
    told = await notifier.message("address_taken", email)
    assert "code" not in told.values
    assert told.recipient.name == "Ann"
    await notifier.message("confirm_registration", free)
    assert (await login(api, email)).status_code == 200
    assert code_of(await login(api, email, OTHER_PASSWORD)) == (401, "invalid_credentials")


async def test_codes_cannot_be_guessed(mongo_uri: str, database_name: str, notifier: PlayedNotifier) -> None:
    async with running_user_api(
        mongo_uri, database_name, notifier_url=notifier.url, account_free_failures=3
    ) as api:
        email = new_email()
        await register(api, email)
        for _ in range(4):
            assert code_of(await confirm(api, email, "AAAA-BBBB-CCCC-DDDD")) == (401, "invalid_code")
        code = await notifier.code("confirm_registration", email)
        assert code_of(await confirm(api, email, code)) == (429, "rate_limited")
        # They do not hold back who signs in.
        assert (await login(api, email)).status_code == 200


async def test_nobody_fills_a_mailbox(strict_api: UserApi, notifier: PlayedNotifier) -> None:
    email, last = new_email(), new_email()
    await register(strict_api, email)
    await confirm(strict_api, email, await notifier.code("confirm_registration", email))
    for _ in range(6):
        await register(strict_api, email, OTHER_PASSWORD)
    await register(strict_api, last)
    await notifier.message("confirm_registration", last)
    assert len([one for one in notifier.orders if one.template == "address_taken"]) == 3


async def test_who_registered_before_it_was_required_is_asked_at_the_sign_in(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    email = new_email()
    async with running_user_api(mongo_uri, database_name) as api:
        user = (await register(api, email)).json()
        await api.database.drop_collection("owed_messages")
    async with running_user_api(
        mongo_uri, database_name, notifier_url=notifier.url, registration_confirmed="required"
    ) as api:
        assert code_of(await login(api, email, OTHER_PASSWORD)) == (401, "invalid_credentials")
        assert code_of(await login(api, email)) == (403, "email_unconfirmed")
        code = await notifier.code("confirm_registration", email)
        assert (await confirm(api, email, code)).json()["id"] == user["id"]
        assert (await login(api, email)).status_code == 200
