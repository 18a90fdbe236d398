"""What an API key may be made for, and what bounds it; what is expected is written out here."""

from datetime import timedelta
from typing import Any

import pytest

from daemons.contracts.permissions import Permission, Role
from tests.support.user_api import PASSWORD, MovableClock, Person, UserApi, running_user_api

NEVER = {"public", "service", "signed_in", "use_own_session", "manage_own_access"}
FOR_USERS = {"use_own_accounts"}
FOR_SUPPORT = FOR_USERS | {
    *("read_any_account", "read_users", "read_events", "read_dead_letters", "prove_ledger", "read_audit"),
}


async def ask(person: Person, *scopes: str, **more: Any) -> Any:
    body = {"password": PASSWORD, "name": "nightly", "scopes": list(scopes), **more}
    return await person.call("POST", "/auth/tokens", body)


async def use(
    api: UserApi, token: str, method: str = "GET", path: str = "/users/me"
) -> tuple[int, str | None]:
    answer = await api.http.request(method, path, headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, answer.json().get("code")


@pytest.mark.parametrize(("role", "allowed"), [(Role.USER, FOR_USERS), (Role.SUPPORT, FOR_SUPPORT)])
async def test_a_role_makes_keys_for_what_it_may_give_and_for_nothing_else(
    user_api: UserApi, role: Role, allowed: set[str]
) -> None:
    person = await user_api.person(role)
    made = {scope.value for scope in Permission if (await ask(person, scope.value)).status_code == 201}
    assert made == allowed


async def test_no_role_makes_a_key_that_manages_access(user_api: UserApi) -> None:
    admin = await user_api.person(Role.ADMIN)
    for scope in NEVER:
        refused = await ask(admin, "read_users", scope)
        assert (refused.status_code, refused.json()["errors"][0]["field"][:6]) == (422, "scopes"), scope
    assert (await admin.call("GET", "/auth/tokens")).json()["items"] == []


@pytest.mark.parametrize(
    ("scopes", "more", "field"),
    [
        ([], {}, "scopes"),
        (["use_own_accounts"] * 21, {}, "scopes"),
        (["use_own_accounts"], {"expires_in_days": 0}, "expires_in_days"),
        (["use_own_accounts"], {"expires_in_days": -1}, "expires_in_days"),
        (["use_own_accounts"], {"expires_in_days": 367}, "expires_in_days"),
        (["use_own_accounts"], {"expires_in_days": 1.5}, "expires_in_days"),
        (["use_own_accounts"], {"name": "\u200b"}, "name"),
    ],
)
async def test_a_key_without_bounds_is_not_made(
    user_api: UserApi, scopes: list[str], more: dict[str, Any], field: str
) -> None:
    person = await user_api.person()
    refused = await ask(person, *scopes, **more)
    assert (refused.status_code, [fault["field"] for fault in refused.json()["errors"]]) == (422, [field])


@pytest.mark.parametrize(
    ("asked", "days"), [({}, 90), ({"expires_in_days": 366}, 366), ({"expires_in_days": 1}, 1)]
)
async def test_a_key_ends_after_the_days_that_were_asked_for(
    mongo_uri: str, database_name: str, asked: dict[str, int], days: int
) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        person = await api.person()
        token = (await ask(person, "use_own_accounts", **asked)).json()["token"]
        clock.ahead = timedelta(days=days, seconds=-1)
        assert await use(api, token) == (200, None)
        clock.ahead = timedelta(days=days)
        assert await use(api, token) == (401, "not_signed_in")


async def test_keys_that_have_ended_are_neither_listed_nor_counted(
    mongo_uri: str, database_name: str
) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        person = await api.person()
        for _ in range(20):
            assert (await ask(person, "use_own_accounts", expires_in_days=1)).status_code == 201
        assert (await ask(person, "use_own_accounts")).status_code == 409
        clock.ahead = timedelta(days=1)
        again = await api.sign_in(person.email)
        assert (await again.call("GET", "/auth/tokens")).json()["items"] == []
        assert (await ask(again, "use_own_accounts")).status_code == 201
        assert len((await again.call("GET", "/auth/tokens")).json()["items"]) == 1


async def test_a_key_is_bounded_as_its_users_sessions_are_until_a_second_factor_is_enrolled(
    mongo_uri: str, database_name: str
) -> None:
    """A role that needs a second factor is worth nothing without; nor is a key that was made before."""
    async with running_user_api(mongo_uri, database_name) as api:
        support = await api.person(Role.SUPPORT)
        token = (await ask(support, "read_users")).json()["token"]
        assert (await use(api, token, path="/users?limit=1"))[0] == 200
    async with running_user_api(mongo_uri, database_name, totp_required_roles="support") as api:
        assert (await use(api, token, path="/users?limit=1"))[0] == 403
        assert (await use(api, token))[0] == 200
