"""A user's own address and name: changed with proof, told to the address before, undone from there."""

import asyncio
from datetime import timedelta

import httpx

from tests.service.user_api.test_second_factor import enrol
from tests.support.mail import PlayedNotifier
from tests.support.user_api import PASSWORD, MovableClock, Person, UserApi, new_email

NEW_PASSWORD = "seven loud geese"


async def confirmed(api: UserApi, notifier: PlayedNotifier) -> Person:
    """Somebody whose address is confirmed."""
    person = await api.person()
    code = await notifier.code("confirm_registration", person.email)
    body = {"email": person.email, "code": code, "password": PASSWORD}
    assert (await api.call("POST", "/users/confirm", body)).status_code == 200
    return person


async def ask(person: Person, email: str, **more: str) -> httpx.Response:
    return await person.call("POST", "/auth/email", {"new_email": email, "password": PASSWORD, **more})


async def change(person: Person, code: str) -> httpx.Response:
    return await person.call("POST", "/auth/email/confirm", {"code": code})


async def undo(api: UserApi, email: str, code: str) -> httpx.Response:
    return await api.call("POST", "/auth/undo", {"email": email, "code": code})


async def login(api: UserApi, email: str, password: str = PASSWORD) -> int:
    return (await api.call("POST", "/auth/login", {"email": email, "password": password})).status_code


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_new_address_counts_once_it_is_confirmed_and_the_old_one_is_told(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person, new = await confirmed(api, notifier), new_email()
    wrong = await person.call("POST", "/auth/email", {"new_email": new, "password": "wrong words"})
    assert code_of(wrong) == (401, "invalid_credentials")
    assert code_of(await ask(person, person.email)) == (409, "email_unchanged")
    assert (await ask(person, new)).status_code == 204
    assert await login(api, person.email) == 200
    code = await notifier.code("confirm_new_address", new)
    assert code_of(await change(await api.person(), code)) == (401, "invalid_code")
    changed = await change(person, code)
    assert (changed.json()["email"], changed.json()["email_confirmed"]) == (new, True)
    assert code_of(await change(person, code)) == (401, "invalid_code")
    assert (await login(api, new), await login(api, person.email)) == (200, 401)
    told = await notifier.message("address_changed", person.email)
    assert told.values["new_email"] == new
    assert new not in {one.recipient.email for one in notifier.orders if one.template == "address_changed"}


async def test_the_old_address_undoes_it_within_three_days_and_shuts_everybody_out(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    assert isinstance(api.clock, MovableClock)
    person, new = await confirmed(api, notifier), new_email()
    await ask(person, new)
    await change(person, await notifier.code("confirm_new_address", new))
    code = await notifier.code("address_changed", person.email)
    # Whoever has the user now changes more; the old address hears of it, and one code undoes all.
    intruder = await api.sign_in(new)
    renamed = {"display_name": "Eve", "password": PASSWORD}
    assert (await intruder.call("POST", "/auth/name", renamed)).status_code == 200
    await notifier.message("name_changed", person.email)
    api.clock.ahead += timedelta(hours=71)
    assert code_of(await undo(api, new, code)) == (401, "invalid_code")
    assert (await undo(api, person.email, code)).status_code == 204
    assert code_of(await undo(api, person.email, code)) == (401, "invalid_code")
    assert (await intruder.call("GET", "/auth/session")).status_code == 401
    assert (await login(api, new), await login(api, person.email)) == (401, 401)
    # What the intruder's own mail offers is worth nothing now.
    others = await notifier.code("name_changed", new)
    assert code_of(await undo(api, new, others)) == (401, "invalid_code")
    await notifier.message("change_undone", person.email)
    await api.call("POST", "/auth/reset", {"email": person.email})
    body = {
        "email": person.email,
        "code": await notifier.code("reset_password", person.email),
        "new_password": NEW_PASSWORD,
    }
    assert (await api.call("POST", "/auth/reset/confirm", body)).status_code == 204
    assert await login(api, person.email, NEW_PASSWORD) == 200
    actions = [one["action"] for one in api.stored("audit")["audit"]]
    assert [one for one in actions if one in {"ask_new_address", "change_address", "undo_change"}] == [
        "ask_new_address",
        "change_address",
        "undo_change",
    ]


async def test_after_three_days_it_stays(api: UserApi, notifier: PlayedNotifier) -> None:
    assert isinstance(api.clock, MovableClock)
    person, new = await confirmed(api, notifier), new_email()
    await ask(person, new)
    await change(person, await notifier.code("confirm_new_address", new))
    code = await notifier.code("address_changed", person.email)
    api.clock.ahead += timedelta(hours=72)
    assert code_of(await undo(api, person.email, code)) == (401, "invalid_code")
    assert await login(api, new) == 200


async def test_an_address_that_nobody_confirmed_undoes_nothing(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person, new = await api.person(), new_email()
    await ask(person, new)
    await change(person, await notifier.code("confirm_new_address", new))
    told = await notifier.message("address_changed", person.email)
    assert "code" not in told.values
    assert api.stored("mail_requests")["mail_requests"] == [
        one for one in api.stored("mail_requests")["mail_requests"] if one["purpose"] != "undo"
    ]


async def test_a_taken_address_is_answered_alike_and_its_owner_is_told(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person, owner = await api.person(), await confirmed(api, notifier)
    assert (await ask(person, owner.email)).status_code == 204
    await notifier.message("address_taken", owner.email)
    assert not [one for one in notifier.orders if one.template == "confirm_new_address"]


async def test_an_unconfirmed_holder_loses_the_address_to_who_changes_to_it(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person, squatter = await api.person(), await api.person()
    await ask(person, squatter.email)
    code = await notifier.code("confirm_new_address", squatter.email)
    assert (await change(person, code)).status_code == 200
    assert (await squatter.call("GET", "/auth/session")).status_code == 401
    me = (await person.call("GET", "/users/me")).json()
    assert me["email"] == squatter.email


async def test_changing_the_address_asks_for_the_second_factor(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    enrolled, new = await enrol(await api.person()), new_email()
    assert code_of(await ask(enrolled.person, new)) == (401, "totp_required")
    assert code_of(await ask(enrolled.person, new, totp="000000")) == (401, "invalid_totp")
    assert (await ask(enrolled.person, new, totp=enrolled.code())).status_code == 204
    await notifier.message("confirm_new_address", new)


async def test_of_two_who_change_to_one_address_one_has_it(api: UserApi, notifier: PlayedNotifier) -> None:
    people, new = [await api.person(), await api.person()], new_email()
    codes = []
    for count, person in enumerate(people, 1):
        await ask(person, new)
        codes.append(await notifier.code("confirm_new_address", new, count=count))
    answers = await asyncio.gather(
        *(change(person, code) for person, code in zip(people, codes, strict=True))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_name_is_changed_with_the_password_and_undone_from_the_address(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    person = await confirmed(api, notifier)
    body = {"display_name": "Ann Lee", "password": PASSWORD}
    assert code_of(await person.call("POST", "/auth/name", {**body, "password": "x"})) == (
        401,
        "invalid_credentials",
    )
    posing = await person.call("POST", "/auth/name", {**body, "display_name": "Bank support"})
    assert code_of(posing) == (422, "invalid_request")
    assert (await person.call("POST", "/auth/name", body)).json()["display_name"] == "Ann Lee"
    [told] = await api.verified(person.session_id)
    assert told["display_name"] == "Ann Lee"
    message = await notifier.message("name_changed", person.email)
    assert (message.recipient.name, message.values["new_name"]) == ("Ann Other", "Ann Lee")
    assert (await undo(api, person.email, message.values["code"])).status_code == 204
    [user] = [one for one in api.stored()["users"] if one["email"] == person.email]
    assert user["display_name"] == "Ann Other"
