"""API keys: credentials of scripts, bounded by scopes, an end, and what their user may do now."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from pyotp import TOTP
from structlog.testing import capture_logs

from daemons.contracts.permissions import NEVER_GRANTED_TO_KEYS, Role
from daemons.user_api.users.user import User
from tests.support.user_api import (
    PASSWORD,
    MovableClock,
    Person,
    StandingClock,
    UserApi,
    running_user_api,
)


async def make(person: Person, *scopes: str, **more: Any) -> dict[str, Any]:
    body = {"password": PASSWORD, "name": "nightly", "scopes": scopes, **more}
    answer = await person.call("POST", "/auth/tokens", body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def call(api: UserApi, token: str, method: str, path: str, body: object = None) -> httpx.Response:
    """Call as a script does: no cookie, and no header against forgery."""
    return await api.http.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_key_may_do_what_it_was_made_for_and_nothing_else(user_api: UserApi) -> None:
    admin = await user_api.person(Role.ADMIN)
    made = await make(admin, "read_users")
    assert made["token"].startswith("bk_")
    assert len(made["token"]) == 3 + 43
    assert made["key"]["scopes"] == ["read_users"]
    assert (await call(user_api, made["token"], "GET", "/users/me")).json()["id"] == admin.id
    assert (await call(user_api, made["token"], "GET", "/users?limit=1")).status_code == 200
    lock = await call(user_api, made["token"], "PATCH", f"/users/{admin.id}/lock", {"reason": "x"})
    assert code_of(lock) == (403, "scope_missing")


async def test_a_key_changes_things_without_the_header_against_forgery(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    made = await make(admin, "manage_users")
    locked = await call(user_api, made["token"], "PATCH", f"/users/{person.id}/lock", {"reason": "x"})
    assert (locked.status_code, locked.json()["locked"]) == (200, True)
    # A key that is none does not lift the check for the cookie beside it.
    for invented in ("bk_x", "bk_"):
        headers = {"Authorization": f"Bearer {invented}", "Cookie": f"__Host-bankctl={admin.token}"}
        answer = await user_api.http.patch(
            f"/users/{person.id}/unlock", json={"reason": "x"}, headers=headers
        )
        assert code_of(answer) == (401, "not_signed_in")
    credentials = {"email": person.email, "password": PASSWORD}
    assert code_of(await call(user_api, made["token"], "POST", "/auth/login", credentials)) == (
        403,
        "csrf_header_missing",
    )


async def test_a_key_makes_no_keys_and_touches_no_sessions(user_api: UserApi) -> None:
    admin = await user_api.person(Role.ADMIN)
    token = (await make(admin, "read_users", "manage_users"))["token"]
    for method, path, body in (
        ("POST", "/auth/tokens", {"password": PASSWORD, "name": "x", "scopes": ["read_users"]}),
        ("GET", "/auth/tokens", None),
        ("GET", "/auth/session", None),
        ("GET", "/auth/sessions", None),
        ("DELETE", "/auth/sessions", None),
        ("POST", "/auth/logout", None),
        ("POST", "/auth/totp", {"password": PASSWORD}),
        (
            "POST",
            "/auth/change-password",
            {"current_password": PASSWORD, "new_password": "eleven loud herons"},
        ),
    ):
        assert code_of(await call(user_api, token, method, path, body)) == (403, "scope_missing"), path


@pytest.mark.parametrize("scope", [*sorted(NEVER_GRANTED_TO_KEYS), "read_users", "everything"])
async def test_no_key_is_made_for_more_than_its_user_may_give(user_api: UserApi, scope: str) -> None:
    person = await user_api.person()
    body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts", scope]}
    answer = await person.call("POST", "/auth/tokens", body)
    assert code_of(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["field"].partition(".")[0] == "scopes"


async def test_making_one_needs_the_password_again(user_api: UserApi) -> None:
    person = await user_api.person()
    body = {"password": "wrong words", "name": "x", "scopes": ["use_own_accounts"]}
    assert code_of(await person.call("POST", "/auth/tokens", body)) == (401, "invalid_credentials")


async def test_a_key_is_shown_once_and_kept_as_a_digest(lone_user_api: UserApi) -> None:
    person = await lone_user_api.person()
    with capture_logs() as logs:
        made = await make(person, "use_own_accounts")
        await call(lone_user_api, made["token"], "GET", "/users/me")
    [kept] = lone_user_api.stored("api_keys")["api_keys"]
    assert kept["digest"] == hashlib.sha256(made["token"].encode()).hexdigest()
    listed = await person.call("GET", "/auth/tokens")
    [shown] = listed.json()["items"]
    assert shown["last_used_at"] is not None
    assert {**shown, "last_used_at": None} == made["key"]
    for text in (str(kept), str(logs), listed.text):
        assert made["token"] not in text


async def test_a_key_ends_when_it_was_said_to(mongo_uri: str, database_name: str) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        person = await api.person()
        token = (await make(person, "use_own_accounts", expires_in_days=2))["token"]
        clock.ahead = timedelta(days=2, seconds=-1)
        assert (await call(api, token, "GET", "/users/me")).status_code == 200
        clock.ahead = timedelta(days=2)
        assert code_of(await call(api, token, "GET", "/users/me")) == (401, "not_signed_in")


async def test_a_revoked_key_and_that_of_a_locked_user_are_refused_at_once(user_api: UserApi) -> None:
    admin, person, stranger = [await user_api.person(role) for role in (Role.ADMIN, Role.USER, Role.USER)]
    made, other = [await make(person, "use_own_accounts") for _ in range(2)]
    path = f"/auth/tokens/{made['key']['id']}"
    assert code_of(await stranger.call("DELETE", path)) == (404, "api_key_not_found")
    assert (await person.call("DELETE", path)).status_code == 204
    assert code_of(await person.call("DELETE", path)) == (404, "api_key_not_found")
    assert code_of(await call(user_api, made["token"], "GET", "/users/me")) == (401, "not_signed_in")
    assert (await call(user_api, other["token"], "GET", "/users/me")).status_code == 200
    await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "test"})
    assert code_of(await call(user_api, other["token"], "GET", "/users/me")) == (401, "not_signed_in")


async def test_a_key_never_does_more_than_its_user_now(user_api: UserApi) -> None:
    person = await user_api.person(Role.SUPPORT)
    token = (await make(person, "read_users"))["token"]
    assert (await call(user_api, token, "GET", "/users?limit=1")).status_code == 200
    # By hand, for a change of role ends the key: what it may do rests on the present role all the same.
    await user_api.database["users"].update_one({"_id": UUID(person.id)}, {"$set": {"role": "user"}})
    assert code_of(await call(user_api, token, "GET", "/users?limit=1")) == (403, "forbidden")


async def change_password(person: Person, *, end_other_sessions: bool) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": "eleven loud herons"}
    return await person.call(
        "POST", "/auth/change-password", {**body, "end_other_sessions": end_other_sessions}
    )


async def lock(person: Person, **changed: str) -> httpx.Response:
    admin = await person.api.person(Role.ADMIN)
    act, body = ("role", {"reason": "x", **changed}) if changed else ("lock", {"reason": "x"})
    return await admin.call("PATCH", f"/users/{person.id}/{act}", body)


async def enrol(person: Person) -> httpx.Response:
    begun = await person.call("POST", "/auth/totp", {"password": PASSWORD})
    return await person.call("POST", "/auth/totp/confirm", {"totp": TOTP(begun.json()["secret"]).now()})


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda person: change_password(person, end_other_sessions=True), id="new password"),
        pytest.param(
            lambda person: change_password(person, end_other_sessions=False),
            id="new password, other sessions kept",
        ),
        pytest.param(lambda person: person.call("DELETE", "/auth/sessions"), id="end of all sessions"),
        pytest.param(
            lambda person: person.call("DELETE", "/auth/sessions?keep_current=true"), id="end of the others"
        ),
        pytest.param(lock, id="lock"),
        pytest.param(lambda person: lock(person, role="support"), id="another role"),
        pytest.param(enrol, id="second factor"),
    ],
)
async def test_keys_end_with_the_password_the_sessions_and_the_user(
    user_api: UserApi, end: Callable[[Person], Awaitable[httpx.Response]]
) -> None:
    person, other = await user_api.person(), await user_api.person()
    tokens = [(await make(one, "use_own_accounts"))["token"] for one in (person, person, other)]
    assert (await end(person)).is_success
    answers = [await call(user_api, token, "GET", "/users/me") for token in tokens]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    if not (await person.call("GET", "/users/me")).is_success:
        admin = await user_api.person(Role.ADMIN)
        await admin.call("PATCH", f"/users/{person.id}/unlock", {"reason": "x"})
        person = await user_api.sign_in(person.email)
    # Not held back for a while: gone.
    assert (await person.call("GET", "/auth/tokens")).json()["items"] == []
    assert (await call(user_api, tokens[0], "GET", "/users/me")).status_code == 401


async def test_the_end_of_keys_is_on_the_record(lone_user_api: UserApi) -> None:
    person = await lone_user_api.person()
    for _ in range(2):
        await make(person, "use_own_accounts")
    await person.call("DELETE", "/auth/sessions?keep_current=true")
    newest = lone_user_api.stored("audit")["audit"][-1]
    assert (newest["action"], newest["before"]) == (
        "end_all_sessions",
        {"ended_sessions": 0, "ended_api_keys": 2},
    )


async def test_the_key_of_a_user_who_is_gone_is_none(user_api: UserApi) -> None:
    person = await user_api.person()
    token = (await make(person, "use_own_accounts"))["token"]
    await user_api.database["users"].delete_one({"_id": UUID(person.id)})
    assert code_of(await call(user_api, token, "GET", "/users/me")) == (401, "not_signed_in")


async def test_neither_session_nor_key_of_a_locked_user_counts_even_if_it_is_still_there(
    user_api: UserApi,
) -> None:
    person = await user_api.person()
    token = (await make(person, "use_own_accounts"))["token"]
    # By hand, for a lock removes both.
    await user_api.database["users"].update_one({"_id": UUID(person.id)}, {"$set": {"locked": True}})
    assert code_of(await call(user_api, token, "GET", "/users/me")) == (401, "not_signed_in")
    assert code_of(await person.call("GET", "/users/me")) == (401, "session_ended")
    assert code_of(await user_api.refresh(person.refresh_token)) == (401, "session_ended")


@pytest.mark.parametrize("end", [change_password, None])
async def test_no_key_slips_past_what_ends_the_others(
    user_api: UserApi, monkeypatch: pytest.MonkeyPatch, end: Callable[..., Awaitable[httpx.Response]] | None
) -> None:
    """The user was read and the password is checked, and before the key is written all access is ended."""
    person = await user_api.person()
    users = user_api.users
    find = users.find

    async def then_ended(user_id: UUID) -> User:
        monkeypatch.undo()
        found = await find(user_id)
        if end is None:
            # There is nothing to end: what a moment ago was no key is none to be made either.
            await person.call("DELETE", "/auth/sessions?keep_current=true")
        else:
            assert (await end(person, end_other_sessions=True)).status_code == 204
        return found

    monkeypatch.setattr(users, "find", then_ended)
    body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"]}
    answer = await person.call("POST", "/auth/tokens", body)
    assert code_of(answer) == (503, "unavailable")
    monkeypatch.undo()
    assert (await person.call("GET", "/auth/tokens")).json()["items"] == []


@pytest.fixture
async def standing(mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """A daemon whose time stands, so that no code grows old before it is used."""
    async with running_user_api(mongo_uri, database_name, clock=StandingClock()) as api:
        yield api


async def test_making_one_needs_a_fresh_code_of_the_second_factor(standing: UserApi) -> None:
    person = await standing.person()
    begun = await person.call("POST", "/auth/totp", {"password": PASSWORD})
    app = TOTP(begun.json()["secret"])
    now = standing.clock()
    confirmed = await person.call("POST", "/auth/totp/confirm", {"totp": app.at(now, counter_offset=-1)})
    assert confirmed.status_code == 200
    body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"]}

    async def attempt(**more: str) -> tuple[int, str]:
        answer = await person.call("POST", "/auth/tokens", {**body, **more})
        return answer.status_code, "" if answer.is_success else answer.json()["code"]

    assert await attempt() == (401, "totp_required")
    assert await attempt(totp="000000") == (401, "invalid_totp")
    assert await attempt(totp=app.at(now, counter_offset=-1)) == (401, "invalid_totp")  # used to confirm
    assert (await person.call("GET", "/auth/tokens")).json()["items"] == []
    code = app.at(now, counter_offset=1)
    assert await attempt(totp=code, password="wrong words") == (401, "invalid_credentials")
    assert await attempt(totp=code) == (201, "")
    assert await attempt(totp=code) == (401, "invalid_totp")
    assert await attempt(totp=confirmed.json()["recovery_codes"][0]) == (201, "")
    assert len((await person.call("GET", "/auth/tokens")).json()["items"]) == 2


async def test_a_user_has_twenty_keys_at_most(user_api: UserApi) -> None:
    person = await user_api.person()
    body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"]}
    statuses: list[int] = []
    for _ in range(4):
        answers = await asyncio.gather(*(person.call("POST", "/auth/tokens", body) for _ in range(6)))
        statuses += [answer.status_code for answer in answers]
    assert statuses.count(201) == 20
    assert statuses.count(409) == 4


@pytest.mark.parametrize("days", [0, 367])
async def test_no_key_is_for_ever(user_api: UserApi, days: int) -> None:
    person = await user_api.person()
    body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"], "expires_in_days": days}
    answer = await person.call("POST", "/auth/tokens", body)
    assert [fault["field"] for fault in answer.json()["errors"]] == ["expires_in_days"]
