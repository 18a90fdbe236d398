"""A forgotten password: a code from the mail of the address sets a new one, and nobody is told who exists."""

import asyncio
from datetime import timedelta

import httpx

from daemons.contracts.permissions import Role
from daemons.user_api.users.routes import USERS_KEY
from tests.service.user_api.test_second_factor import enrol
from tests.support.mail import PlayedNotifier
from tests.support.user_api import (
    PASSWORD,
    MovableClock,
    UserApi,
    device_token_in,
    new_email,
    running_user_api,
)
from tests.support.work import done_by

NEW_PASSWORD = "seven loud geese"


async def ask(api: UserApi, email: str) -> httpx.Response:
    return await api.call("POST", "/auth/reset", {"email": email})


async def reset(
    api: UserApi, email: str, code: str, *, password: str = NEW_PASSWORD, totp: str | None = None
) -> httpx.Response:
    body = {"email": email, "code": code, "new_password": password}
    return await api.call("POST", "/auth/reset/confirm", body if totp is None else {**body, "totp": totp})


async def login(api: UserApi, email: str, password: str) -> int:
    answer = await api.call("POST", "/auth/login", {"email": email, "password": password})
    return answer.status_code


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_code_from_the_mail_sets_a_new_password_once(api: UserApi, notifier: PlayedNotifier) -> None:
    person = await api.person()
    assert (await ask(api, person.email)).status_code == 204
    code = await notifier.code("reset_password", person.email)
    assert (await reset(api, person.email, code)).status_code == 204
    assert await login(api, person.email, PASSWORD) == 401
    assert await login(api, person.email, NEW_PASSWORD) == 200
    assert code_of(await reset(api, person.email, code, password=PASSWORD)) == (401, "invalid_code")
    told = await notifier.message("password_changed", person.email)
    assert told.values["address"] == "127.0.0.1"
    # Whoever sets a password by mail has confirmed the address.
    [user] = [one for one in api.stored()["users"] if one["email"] == person.email]
    assert user["email_confirmed"]


async def test_a_password_that_was_handed_out_is_replaced_by_a_reset(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    email = new_email()
    await api.app[USERS_KEY].register(email=email, display_name="Omar", password=PASSWORD, temporary=True)
    await ask(api, email)
    assert (await reset(api, email, await notifier.code("reset_password", email))).is_success
    omar = await api.sign_in(email, NEW_PASSWORD)
    assert (await omar.call("GET", "/auth/sessions")).status_code == 200


async def test_a_reset_ends_sessions_keys_and_known_devices_and_is_recorded(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person = await api.person()
    made = await person.call(
        "POST", "/auth/tokens", {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
    )
    key = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await api.call("GET", "/users/me", **key)).status_code == 200
    await ask(api, person.email)
    assert (await reset(api, person.email, await notifier.code("reset_password", person.email))).is_success
    assert (await person.call("GET", "/auth/session")).status_code == 401
    assert (await api.refresh(person.refresh_token)).status_code == 401
    assert (await api.call("GET", "/users/me", **key)).status_code == 401
    kept = api.stored("sessions", "api_keys", "devices", "audit")
    assert (kept["sessions"], kept["api_keys"], kept["devices"]) == ([], [], [])
    told = {"ask_password_reset", "reset_password"}
    asked, done = [one for one in kept["audit"] if one["action"] in told]
    assert (asked["action"], asked["target"]["id"]) == ("ask_password_reset", person.id)
    assert (done["action"], done["actor"]["user_id"]) == ("reset_password", person.id)
    assert done["before"] == {"ended_sessions": 1, "ended_api_keys": 1}


async def test_the_second_factor_is_asked_for_all_the_same(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    email = enrolled.person.email
    await ask(api, email)
    code = await notifier.code("reset_password", email)
    # Without the right code of the mail nothing tells that there is a second factor.
    assert code_of(await reset(api, email, "AAAA-BBBB-CCCC-DDDD")) == (401, "invalid_code")
    assert code_of(await reset(api, email, code)) == (401, "totp_required")
    assert code_of(await reset(api, email, code, totp="000000")) == (401, "invalid_totp")
    assert await login(api, email, NEW_PASSWORD) == 401
    assert (await reset(api, email, code, totp=enrolled.recovery_codes[0])).status_code == 204
    done = await enrolled.sign_in(enrolled.code(), NEW_PASSWORD)
    assert done.status_code == 200
    [record] = [one for one in api.stored("audit")["audit"] if one["action"] == "reset_password"]
    assert record["after"] == {"second_factor": "recovery_code"}


async def test_a_weak_password_uses_neither_code_up(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    email = enrolled.person.email
    await ask(api, email)
    code, totp = await notifier.code("reset_password", email), enrolled.code()
    assert code_of(await reset(api, email, code, password="seven77", totp=totp)) == (422, "weak_password")
    assert (await reset(api, email, code, totp=totp)).status_code == 204


async def test_asking_is_the_same_work_and_the_same_answer_for_an_unknown_address(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person = await api.person()
    unknown = new_email()
    for again in range(5):
        answers, works = [], []
        for email in (person.email, unknown):
            with done_by(api) as work:
                answers.append(await ask(api, email))
            works.append(work)
        assert works[0] == works[1], again
        assert len(works[0]) > 5
        assert {(answer.status_code, answer.content) for answer in answers} == {(204, b"")}
    actions = [one["target"]["kind"] for one in api.stored("audit")["audit"] if "ask_" in one["action"]]
    assert actions == ["user", "unknown account"] * 5
    assert unknown not in str(api.stored("audit"))
    # The owner is not flooded, and nobody else gets anything.
    await api.users._work._client.admin.command("ping")
    code = await notifier.code("reset_password", person.email, count=3)
    last = await api.person()
    await ask(api, last.email)
    await notifier.message("reset_password", last.email)
    mailed = [one.recipient.email for one in notifier.orders if one.template == "reset_password"]
    assert mailed.count(person.email) == 3
    assert unknown not in mailed
    assert (await reset(api, person.email, code)).status_code == 204


async def test_asking_again_makes_no_code_worthless(api: UserApi, notifier: PlayedNotifier) -> None:
    person = await api.person()
    await ask(api, person.email)
    first = await notifier.code("reset_password", person.email)
    assert isinstance(api.clock, MovableClock)
    api.clock.ahead += timedelta(minutes=45)
    await ask(api, person.email)
    second = await notifier.code("reset_password", person.email, count=2)
    assert first != second
    assert (await reset(api, person.email, first)).status_code == 204


async def test_a_code_is_good_for_an_hour_and_for_its_user_alone(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    assert isinstance(api.clock, MovableClock)
    person, other = await api.person(), await api.person()
    await ask(api, person.email)
    code = await notifier.code("reset_password", person.email)
    registration = await notifier.code("confirm_registration", person.email)
    for email, wrong in ((other.email, code), (new_email(), code), (person.email, registration)):
        assert code_of(await reset(api, email, wrong)) == (401, "invalid_code")
    api.clock.ahead += timedelta(hours=1)
    assert code_of(await reset(api, person.email, code)) == (401, "invalid_code")


async def test_of_many_resets_with_one_code_one_counts(api: UserApi, notifier: PlayedNotifier) -> None:
    person = await api.person()
    await ask(api, person.email)
    code = await notifier.code("reset_password", person.email)
    answers = await asyncio.gather(*(reset(api, person.email, code) for _ in range(4)))
    assert [answer.status_code for answer in answers].count(204) == 1
    assert {answer.status_code for answer in answers} <= {204, 401, 503}


async def test_a_locked_user_stays_locked(api: UserApi, notifier: PlayedNotifier) -> None:
    person, admin = await api.person(), await api.person(Role.ADMIN)
    locked = await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "lost phone"})
    assert locked.status_code == 200
    await notifier.message("user_locked", person.email)
    await ask(api, person.email)
    assert (await reset(api, person.email, await notifier.code("reset_password", person.email))).is_success
    assert await login(api, person.email, NEW_PASSWORD) == 403


async def test_guesses_and_requests_are_held_back(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(
        mongo_uri,
        database_name,
        notifier_url=notifier.url,
        account_free_failures=3,
        address_free_sign_ups=4,
    ) as api:
        person = await api.person()
        for _ in range(4):
            assert code_of(await reset(api, person.email, "AAAA-BBBB-CCCC-DDDD")) == (401, "invalid_code")
        assert code_of(await reset(api, person.email, "AAAA-BBBB-CCCC-DDDD")) == (429, "rate_limited")
        for _ in range(4):
            assert (await ask(api, new_email())).status_code == 204
        await ask(api, new_email())
        for email in (new_email(), person.email):
            assert code_of(await ask(api, email)) == (429, "rate_limited")
        refusals = [one for one in api.stored("audit")["audit"] if one["action"] == "code.refused"]
        assert refusals[0]["reason"] == "invalid_code"
        # Neither holds back who knows the password.
        assert await login(api, person.email, PASSWORD) == 200


async def test_what_happens_to_an_access_is_told_to_its_owner(api: UserApi, notifier: PlayedNotifier) -> None:
    person = await api.person()
    body = {"email": person.email, "password": PASSWORD}
    again = await api.call("POST", "/auth/login", body, User_Agent="another machine")
    told = await notifier.message("new_device", person.email)
    assert (told.values["device"], told.values["address"]) == ("another machine", "127.0.0.1")
    known = f"__Host-bankctl-device={device_token_in(again)}"
    assert (await api.call("POST", "/auth/login", body, Cookie=known)).status_code == 200
    key = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
    await person.call("POST", "/auth/tokens", key)
    told = await notifier.message("new_api_key", person.email)
    assert (told.values["key_name"], told.values["scopes"]) == ("ci", "use_own_accounts")
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    await person.call("POST", "/auth/change-password", change)
    await notifier.message("password_changed", person.email)
    # The first sign-in and that of the known device told nothing.
    assert [one.template for one in notifier.orders].count("new_device") == 1


async def test_the_owner_is_told_when_guesses_begin_to_be_held_back(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(
        mongo_uri, database_name, notifier_url=notifier.url, account_free_failures=2
    ) as api:
        person = await api.person()
        for _ in range(3):
            assert await login(api, person.email, "wrong words") == 401
        await notifier.message("sign_in_slowed", person.email)
        assert await login(api, person.email, PASSWORD) == 429
        assert [one.template for one in notifier.orders].count("sign_in_slowed") == 1
