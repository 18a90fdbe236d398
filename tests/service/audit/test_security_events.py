"""Every security event of user_api stands in its trail, in the transaction of what it tells of."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlencode

import pyotp
import pytest

from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.user_api.security_events import SecurityEvent
from tests.support.user_api import PASSWORD, StandingClock, UserApi, new_email, running_user_api
from tests.support.user_audit import login, proof, trail

WRONG = "wrong words"
NEW_PASSWORD = "eleven loud herons"
FREE = {"account_free_failures": 3, "address_free_failures": 1000}
STRANGER = {"user_id": None, "display_name": "not signed in", "role": None}


@pytest.fixture
async def stopped(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[UserApi, StandingClock]]:
    """A daemon whose time stands, with few free guesses."""
    clock = StandingClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, **FREE) as api:
        yield api, clock


async def test_a_session_is_told_from_registration_to_its_end(user_api: UserApi) -> None:
    user = await user_api.register()
    await login(user_api, user["email"])
    person = await user_api.sign_in(user["email"])
    other = await user_api.sign_in(user["email"])
    await person.call("DELETE", f"/auth/sessions/{other.session}")
    await person.call("DELETE", "/auth/sessions?keep_current=true")
    await person.call("DELETE", "/auth/sessions?keep_current=true")
    await person.call("POST", "/auth/logout")

    registered, first, *_, ended, all_ended, out = trail(user_api)
    assert (registered["action"], registered["actor"]) == ("register", STRANGER)
    assert registered["after"] == {"role": "user", "locked": False}
    assert (first["action"], first["request_id"], first["address"]) == ("sign_in", "trace-1", "192.0.2.1")
    assert first["actor"] == {"user_id": user["id"], "display_name": "Ann Other", "role": "user"}
    assert first["after"]["address"] == "192.0.2.1"
    assert (first["after"]["second_factor"], first["after"]["failures_before"]) == (None, 0)
    assert (ended["action"], ended["before"]["session"]) == ("end_session", other.session)
    # That of `login`; the second call ends none and is not told.
    assert (all_ended["action"], all_ended["before"]) == (
        "end_all_sessions",
        {"ended_sessions": 1, "ended_api_keys": 0},
    )
    assert all_ended["after"] == {"kept_session": person.session}
    assert (out["action"], out["before"]["session"]) == ("sign_out", person.session)
    assert {record["target"]["id"] for record in trail(user_api)} == {user["id"]}


async def test_the_reuse_of_a_refresh_token_is_told(stopped: tuple[UserApi, StandingClock]) -> None:
    api, clock = stopped
    person = await api.person()
    refreshed = await person.refreshed()
    clock.ahead += timedelta(minutes=1)
    assert (await api.refresh(person.refresh_token, X_Forwarded_For="192.0.2.66")).status_code == 401
    assert (await api.refresh(refreshed.refresh_token)).status_code == 401
    [told] = trail(api, "refresh_token.reused")
    assert (told["actor"], told["address"]) == (STRANGER, "192.0.2.66")
    assert (told["target"]["id"], told["before"]["session"]) == (person.id, person.session)


async def test_changes_of_ones_own_access_are_told(stopped: tuple[UserApi, StandingClock]) -> None:
    api, clock = stopped
    person = await api.person()
    secret = (await person.call("POST", "/auth/totp", {"password": PASSWORD})).json()["secret"]
    code = pyotp.TOTP(secret).at(clock())
    codes = (await person.call("POST", "/auth/totp/confirm", {"totp": code})).json()["recovery_codes"]
    assert (await login(api, person.email, totp=codes[0])).status_code == 200
    wanted = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"], "totp": codes[1]}
    made = await person.call("POST", "/auth/tokens", wanted)
    key_id = made.json()["key"]["id"]
    await person.call("DELETE", f"/auth/tokens/{key_id}")
    changed = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await person.call("POST", "/auth/change-password", changed)).status_code == 204
    removal = {"password": NEW_PASSWORD, "totp": codes[2]}
    assert (await person.call("POST", "/auth/totp/remove", removal)).status_code == 204

    told = trail(api)[2:]
    assert [record["action"] for record in told] == [
        "begin_second_factor",
        "confirm_second_factor",
        "use_recovery_code",
        "sign_in",
        "use_recovery_code",
        "create_api_key",
        "revoke_api_key",
        "change_password",
        "use_recovery_code",
        "remove_second_factor",
    ]
    begun, confirmed, used, signed_in, _, key, revoked, password, _, removed = told
    assert (begun["before"], begun["after"]) == (None, None)
    assert confirmed["after"] == {"second_factor": True, "recovery_codes": 10}
    assert (used["before"], used["after"]) == ({"recovery_codes": 10}, {"recovery_codes": 9})
    assert signed_in["after"]["second_factor"] == "recovery_code"
    assert (key["after"]["key_id"], key["after"]["scopes"]) == (key_id, ["use_own_accounts"])
    assert revoked["before"] == key["after"]
    assert password["after"] == {"ends_other_sessions": True}
    assert (removed["before"], removed["after"]) == ({"second_factor": True}, {"second_factor": False})
    assert {record["actor"]["user_id"] for record in told} == {person.id}
    text = json.dumps(trail(api), default=str)
    kept_back = (
        PASSWORD,
        NEW_PASSWORD,
        secret,
        code,
        *codes,
        made.json()["token"],
        person.token,
        person.email,
    )
    assert [one for one in kept_back if one in text] == []


async def test_a_refused_sign_in_tells_what_was_tried_but_neither_password_nor_name(
    stopped: tuple[UserApi, StandingClock],
) -> None:
    api, _ = stopped
    user, nobody, typed_here = await api.register(), new_email(), "my secret words"
    for email in (user["email"], nobody, typed_here):
        assert (await login(api, email, WRONG)).status_code == 401
    known, unknown, odd = trail(api, "sign_in.refused")
    assert known["target"] == {"kind": "user", "id": user["id"]}
    assert {record["reason"] for record in (known, unknown, odd)} == {"invalid_credentials"}
    assert {record["address"] for record in (known, unknown, odd)} == {"192.0.2.1"}
    for record in (unknown, odd):
        assert (record["actor"], record["target"]["kind"]) == (STRANGER, "unknown account")
        assert record["target"]["id"] == record["after"]["account"]["name"]
        # The shape and the counts are those of a known one: the same writes were made.
        assert record["after"].keys() == known["after"].keys()
        assert record["after"]["account"].keys() == known["after"]["account"].keys()
    text = json.dumps(trail(api), default=str)
    assert [one for one in (WRONG, PASSWORD, typed_here, nobody, user["email"]) if one in text] == []


@pytest.mark.parametrize("known", [True, False])
async def test_of_many_guesses_the_first_and_each_that_begins_a_pause_are_told(
    stopped: tuple[UserApi, StandingClock], *, known: bool
) -> None:
    api, clock = stopped
    email = (await api.register())["email"] if known else new_email()
    for _ in range(4):
        assert (await login(api, email, WRONG)).status_code == 401
    for _ in range(7):
        assert (await login(api, email)).status_code == 429
    clock.ahead += timedelta(seconds=1)
    assert (await login(api, email, WRONG)).status_code == 401
    counts = [record["after"]["account"] for record in trail(api, "sign_in.refused")]
    # The second and third failure are in the count of the fourth, what was held back in that of the fifth.
    assert [(one["failures"], one["pause_seconds"], one["held_back"]) for one in counts] == [
        (1, 0, 0),
        (4, 1, 0),
        (5, 2, 7),
    ]
    if known:
        clock.ahead += timedelta(seconds=2)
        assert (await login(api, email)).status_code == 200
        [signed_in] = trail(api, "sign_in")
        assert (signed_in["after"]["failures_before"], signed_in["after"]["held_back_before"]) == (5, 7)


async def test_a_flood_from_everywhere_does_not_make_the_trail_grow_at_will(
    mongo_uri: str, database_name: str
) -> None:
    clock, limit = StandingClock(), {"refusals_recorded_per_minute": 5, "hashing_queue": 100}
    async with running_user_api(mongo_uri, database_name, clock=clock, **limit) as api:

        async def knock(number: int) -> int:
            headers = {"X_Forwarded_For": f"198.51.100.{number}"}
            body = {"email": new_email(), "password": WRONG}
            return (await api.call("POST", "/auth/login", body, **headers)).status_code

        assert set(await asyncio.gather(*(knock(number) for number in range(40)))) == {401}
        assert len(trail(api)) == 5
        clock.ahead += timedelta(minutes=1)
        await knock(99)
        assert [record["after"]["others_left_out"] for record in trail(api)] == [0, 0, 0, 0, 0, 35]


async def test_refusals_of_a_locked_user_and_of_codes_and_passwords_asked_again_are_told(
    stopped: tuple[UserApi, StandingClock],
) -> None:
    api, _ = stopped
    admin, person = await api.person(Role.ADMIN), await api.person()
    body = {"current_password": WRONG, "new_password": NEW_PASSWORD}
    await person.call("POST", "/auth/change-password", body)
    [asked] = trail(api, "confirmation.refused")
    assert (asked["actor"]["user_id"], asked["reason"]) == (person.id, "invalid_credentials")
    other = await api.person()
    await other.call("POST", "/auth/totp", {"password": PASSWORD})
    await other.call("POST", "/auth/totp/confirm", {"totp": "000000"})
    assert trail(api, "confirmation.refused")[-1]["reason"] == "invalid_totp"

    await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "lost phone"})
    for _ in range(5):
        assert (await login(api, person.email)).status_code == 403
    [locked] = trail(api, "sign_in.refused")
    assert (locked["reason"], locked["target"]["id"], locked["actor"]) == ("user_locked", person.id, STRANGER)


async def test_a_registration_writes_one_record_whether_the_address_is_free_or_taken(
    user_api: UserApi,
) -> None:
    user = await user_api.register()
    before = len(trail(user_api))
    fields = {"email": user["email"], "display_name": "Eve", "password": PASSWORD}
    assert (await user_api.call("POST", "/users", fields)).status_code == 201
    *_, refused = trail(user_api)
    assert len(trail(user_api)) == before + 1
    assert (refused["action"], refused["reason"]) == ("register.refused", "email_taken")
    assert (refused["actor"], refused["target"]["id"]) == (STRANGER, user["id"])


async def test_refusals_at_staff_routes_are_told_once_a_minute_for_each_caller_and_route(
    stopped: tuple[UserApi, StandingClock],
) -> None:
    api, clock = stopped
    person, support = await api.person(), await api.person(Role.SUPPORT)
    for caller in (person, person, support, person):
        answer = await caller.call("PATCH", f"/users/{person.id}/lock", {"reason": "x"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await person.call("GET", "/users")).status_code == 403
    clock.ahead += timedelta(minutes=1)
    await person.call("PATCH", f"/users/{support.id}/lock", {"reason": "x"})
    told = trail(api, "access.refused")
    assert [(record["actor"]["user_id"], record["target"]["id"]) for record in told] == [
        (person.id, "PATCH /users/{id}/lock"),
        (support.id, "PATCH /users/{id}/lock"),
        (person.id, "GET /users"),
        (person.id, "PATCH /users/{id}/lock"),
    ]
    assert [record["after"]["others_left_out"] for record in told] == [0, 1, 1, 0]
    assert told[0]["after"]["path"] == f"/users/{person.id}/lock"
    assert {record["reason"] for record in told} == {"forbidden"}


async def test_what_cannot_be_recorded_does_not_happen(user_api: UserApi) -> None:
    person = await user_api.person()
    kept = ("users", "sessions", "refresh_tokens", "second_factors", "api_keys", "refused_registrations")
    await user_api.audit._heads.delete_many({})
    before = user_api.stored(*kept)
    fields = {"email": new_email(), "display_name": "Late", "password": PASSWORD}
    key = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
    passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    for answer in (
        await login(user_api, person.email),
        await login(user_api, person.email, WRONG),
        await user_api.call("POST", "/users", fields),
        await user_api.call("POST", "/users", {**fields, "email": person.email}),
        await person.call("POST", "/auth/logout"),
        await person.call("DELETE", f"/auth/sessions/{person.session}"),
        await person.call("DELETE", "/auth/sessions"),
        await person.call("POST", "/auth/change-password", passwords),
        await person.call("POST", "/auth/totp", {"password": PASSWORD}),
        await person.call("POST", "/auth/tokens", key),
    ):
        assert answer.status_code == 500, answer.text
        assert "audit" not in answer.text
    assert user_api.stored(*kept) == before


async def test_many_who_sign_in_at_once_make_one_chain(mongo_uri: str, database_name: str) -> None:
    async with (
        running_user_api(mongo_uri, database_name) as one,
        running_user_api(mongo_uri, database_name) as two,
    ):
        reader = await one.person(Role.SUPPORT)
        people = [await one.register() for _ in range(10)]
        apis = [one, two, one, two]
        answers = await asyncio.gather(*(login(api, user["email"]) for user in people for api in apis))
        assert {answer.status_code for answer in answers} == {200}
        told = trail(one, "sign_in")
        assert len(told) == 1 + len(answers)
        assert [record["_id"] for record in trail(one)] == list(range(1, len(trail(one)) + 1))
        assert (await proof(one, reader))["holds"] is True


async def test_records_are_found_by_action_actor_target_and_time(
    stopped: tuple[UserApi, StandingClock],
) -> None:
    api, clock = stopped
    reader, person = await api.person(Role.SUPPORT), await api.person()
    clock.ahead += timedelta(minutes=10)
    moment = format_instant(clock())
    await login(api, person.email, WRONG)
    reader = await api.sign_in(reader.email)

    async def found(query: str) -> list[tuple[str, str]]:
        answer = await reader.call("GET", f"/audit/users?{query}")
        assert answer.status_code == 200, answer.text
        return [(record["action"], record["target"]["id"]) for record in answer.json()["items"]]

    assert await found("action=sign_in.refused") == [("sign_in.refused", person.id)]
    assert await found(f"actor={person.id}") == [("sign_in", person.id)]
    own = [(action, person.id) for action in ("sign_in.refused", "sign_in", "register")]
    assert await found(f"target={person.id}") == own
    assert await found(f"since={moment}") == [("sign_in", reader.id), own[0]]
    assert await found(f"until={moment}&target={person.id}") == own[1:]
    assert await found(f"since={moment}&until={moment}") == []
    for wrong in ("yesterday", "2026-02-30T00:00:00Z", "2026-02-03", "2026-02-03T00:00:00+01:00", "1"):
        answer = await reader.call("GET", f"/audit/users?{urlencode({'since': wrong})}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "since")


def test_every_event_has_a_name_that_a_filter_takes() -> None:
    assert all(len(event.value) <= 64 for event in SecurityEvent)
