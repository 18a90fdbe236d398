import asyncio

import pytest

from tests.support.user_api import PASSWORD, UserApi, new_email


async def test_a_registered_user_can_sign_in_and_is_nothing_more_than_a_user(user_api: UserApi) -> None:
    email = new_email()
    fields = {"email": email, "display_name": "  Ann Other ", "password": PASSWORD}
    answer = await user_api.call("POST", "/users", fields)
    assert answer.status_code == 201
    assert set(answer.json()) == {
        *("id", "email", "email_confirmed", "display_name", "role", "locked", "created_at"),
        "confirmation_required",
    }
    assert answer.json()["display_name"] == "Ann Other"
    assert answer.json()["role"] == "user"
    me = await (await user_api.sign_in(email)).call("GET", "/users/me")
    assert me.json() == {name: value for name, value in answer.json().items() if name in me.json()}
    assert answer.json().keys() - me.json().keys() == {"confirmation_required"}


@pytest.mark.parametrize(
    "smuggled", [{"role": "admin"}, {"locked": False}, {"id": "x"}, {"password_hash": "x"}]
)
async def test_a_registration_takes_no_field_but_its_own(
    lone_user_api: UserApi, smuggled: dict[str, object]
) -> None:
    fields = {"email": new_email(), "display_name": "Ann", "password": PASSWORD, **smuggled}
    answer = await lone_user_api.call("POST", "/users", fields)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == list(smuggled)
    assert lone_user_api.stored()["users"] == []


async def test_an_email_is_one_user_however_it_is_written(user_api: UserApi) -> None:
    email = new_email()
    fields = {"email": email, "display_name": "Ann", "password": PASSWORD}
    assert (await user_api.call("POST", "/users", fields)).status_code == 201
    full_width = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in email.partition("@")[0])
    for again in (email.upper(), full_width + "@example.com"):
        answer = await user_api.call("POST", "/users", {**fields, "email": again})
        assert answer.status_code == 201
        assert (await user_api.sign_in(again)).email == again


async def test_a_registration_does_not_tell_whether_the_address_is_taken(lone_user_api: UserApi) -> None:
    first = await lone_user_api.register()
    other_password = "a password of somebody else"
    answers = []
    for email in (first["email"], new_email()):
        fields = {"email": email, "display_name": "Eve", "password": other_password}
        answers.append(await lone_user_api.call("POST", "/users", fields))
    shown = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} == {201}
    assert answers[0].headers.keys() == answers[1].headers.keys()
    varying = ("id", "email", "created_at")
    assert len({str({k: v for k, v in one.items() if k not in varying}) for one in shown}) == 1
    assert shown[0]["email"] == first["email"]
    assert shown[0]["id"] != first["id"]
    # Whoever has the address keeps their password, and it can be told who tried.
    await lone_user_api.sign_in(first["email"])
    stolen = {"email": first["email"], "password": other_password}
    assert (await lone_user_api.call("POST", "/auth/login", stolen)).status_code == 401
    stored = lone_user_api.stored("users", "refused_registrations")
    assert len(stored["users"]) == 2
    assert [str(one["user_id"]) for one in stored["refused_registrations"]] == [first["id"]]


async def test_of_simultaneous_registrations_of_one_email_one_wins(lone_user_api: UserApi) -> None:
    fields = {"email": new_email(), "display_name": "Ann", "password": PASSWORD}
    answers = await asyncio.gather(*(lone_user_api.call("POST", "/users", fields) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {201}
    [user] = lone_user_api.stored()["users"]
    assert sum(answer.json()["id"] == str(user["_id"]) for answer in answers) == 1


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven77", "fewer than 8"),
        ("x1" * 64 + "y", "more than 128"),
        ("PassWord123", "most common"),
        ("bigdaddy", "most common"),
        ("my clare.voyant word", "email"),
        ("claire the great", "display name"),
    ],
)
async def test_a_weak_password_is_refused_with_the_reason(
    lone_user_api: UserApi, password: str, why: str
) -> None:
    fields = {"email": "clare.voyant@example.com", "display_name": "Claire The Great", "password": password}
    answer = await lone_user_api.call("POST", "/users", fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["category"] == "invalid"
    assert answer.json()["errors"][0]["field"] == "password"
    assert why in answer.json()["detail"]
    assert password not in answer.text
    assert lone_user_api.stored()["users"] == []


async def test_a_long_password_counts_to_its_last_character(user_api: UserApi) -> None:
    password = "x1" * 63 + "ab"
    user = await user_api.register(password=password)
    await user_api.sign_in(user["email"], password)
    credentials = {"email": user["email"], "password": password[:-1] + "c"}
    assert (await user_api.call("POST", "/auth/login", credentials)).status_code == 401


@pytest.mark.parametrize(
    ("display_name", "says"),
    [
        ("(Bank support)", "bank's own or its staff's"),
        ("b\u0430nkctl", "bank's own or its staff's"),
        ("\u200b\u3164", "can be seen"),
        ("Ann \u202eeeL", "U+202E (RIGHT-TO-LEFT OVERRIDE), which is its character 5"),
        ("Ann\u200e", "U+200E (LEFT-TO-RIGHT MARK), which is its character 4"),
    ],
)
async def test_nobody_registers_as_the_bank_but_its_shell_names_staff(
    lone_user_api: UserApi, display_name: str, says: str
) -> None:
    fields = {"email": new_email(), "display_name": display_name, "password": PASSWORD}
    answer = await lone_user_api.call("POST", "/users", fields)
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["field"]) == (422, "display_name")
    assert says in fault["message"]
    assert lone_user_api.stored()["users"] == []

    staff = await lone_user_api.users.register(
        email=new_email(), display_name="Olga (operator)", password=PASSWORD
    )
    assert staff.display_name == "Olga (operator)"


async def test_an_address_that_mixes_scripts_registers_nobody(lone_user_api: UserApi) -> None:
    fields = {"email": "\u0430nn@example.com", "display_name": "Ann", "password": PASSWORD}
    answer = await lone_user_api.call("POST", "/users", fields)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "email")
    assert lone_user_api.stored()["users"] == []
