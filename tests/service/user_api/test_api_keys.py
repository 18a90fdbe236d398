"""API keys: credentials of scripts, bounded by scopes, an end, and what their user may do now."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from daemons.contracts.permissions import NEVER_GRANTED_TO_KEYS, Role
from tests.support.user_api import PASSWORD, MovableClock, Person, UserApi, running_user_api


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
    admin, person = await user_api.person(Role.ADMIN), await user_api.person(Role.SUPPORT)
    token = (await make(person, "read_users"))["token"]
    assert (await call(user_api, token, "GET", "/users?limit=1")).status_code == 200
    await admin.call("PATCH", f"/users/{person.id}/role", {"role": "user", "reason": "test"})
    assert code_of(await call(user_api, token, "GET", "/users?limit=1")) == (403, "forbidden")


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
