"""What the log and the trail keep of one person's access, field by field."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from structlog.testing import capture_logs

from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.shared.audit.record import SHELL
from tests.support.user_api import PASSWORD, Person, StandingClock, UserApi, running_user_api
from tests.support.user_audit import trail

ADDRESS = "192.0.2.1"
FROM = {"X_Forwarded_For": ADDRESS, "X_Request_Id": "trace-1", "User_Agent": "the tests"}
WRONG, NEW_PASSWORD = "wrong words", "eleven loud herons"

Line = dict[str, Any]


@pytest.fixture
async def standing(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[UserApi, StandingClock]]:
    """A daemon whose time stands, with few free guesses."""
    clock = StandingClock()
    few: dict[str, Any] = {"account_free_failures": 1, "address_free_failures": 1000}
    async with running_user_api(mongo_uri, database_name, clock=clock, **few) as api:
        yield api, clock


OF_TASKS = {"message ordered", "message put off", "events of users wait"}


@contextmanager
def logged() -> Iterator[list[Line]]:
    """Collect the log, without the lines that each request has and those of the daemon's own tasks."""
    lines: list[Line] = []
    with capture_logs() as kept:
        yield lines
    lines += [
        {name: value for name, value in line.items() if name != "log_level"}
        for line in kept
        if line["event"] not in {"request", "request refused"} | OF_TASKS
    ]


async def login(api: UserApi, email: str, password: str = PASSWORD, **more: str) -> Any:
    return await api.call("POST", "/auth/login", {"email": email, "password": password, **more}, **FROM)


def actor_of(person: Person) -> Line:
    return {"user_id": person.id, "display_name": "Ann Other", "role": "user"}


def entry(person: Person, action: str, **more: Any) -> Line:
    """Return the record of an act on oneself, but for its place in the chain and its time."""
    return {
        "actor": actor_of(person),
        "action": action,
        "target": {"kind": "user", "id": person.id},
        "reason": None,
        "request_id": "trace-1",
        "address": ADDRESS,
        "before": None,
        "after": None,
        "approval": None,
        **more,
    }


def newest(api: UserApi, count: int = 1) -> list[Line]:
    places = {"_id", "at", "documents", "previous_hash", "hash"}
    return [{name: one[name] for name in one if name not in places} for one in trail(api)[-count:]]


async def test_signing_in_and_out(standing: tuple[UserApi, StandingClock]) -> None:
    api, clock = standing
    person = await api.person()
    with logged() as lines:
        answer = await login(api, person.email)
    session = answer.json()["session"]["id"]
    assert lines == [
        {"event": "signed in", "user_id": person.id, "session": session, "address": ADDRESS},
    ]
    begun = {"session": session, "device": "the tests", "address": ADDRESS}
    counts = {"second_factor": None, "known_device": False, "failures_before": 0, "held_back_before": 0}
    assert newest(api) == [entry(person, "sign_in", after={**begun, **counts})]

    with logged() as lines:
        await api.refresh(person.refresh_token, **FROM)
    assert lines == [
        {
            "event": "session refreshed",
            "user_id": person.id,
            "session": person.session,
            "address": ADDRESS,
            "request_id": "trace-1",
        }
    ]
    with logged() as lines:
        await person.call("DELETE", f"/auth/sessions/{session}", **FROM)
    assert lines == [{"event": "session ended", "user_id": person.id, "session": session}]
    assert newest(api) == [entry(person, "end_session", before=begun)]
    own = {**newest_of(api, person), "session": person.session}
    with logged() as lines:
        await person.call("POST", "/auth/logout", **FROM)
    assert lines == [{"event": "session ended", "user_id": person.id, "session": person.session}]
    assert newest(api) == [entry(person, "sign_out", before=own)]
    assert clock.ahead == timedelta(0)


def newest_of(api: UserApi, person: Person) -> Line:
    """Return device and address of the person's first session, as the trail has them."""
    [begun] = [one["after"] for one in trail(api, "sign_in") if one["after"]["session"] == person.session]
    return {name: begun[name] for name in ("device", "address")}


async def test_a_refresh_token_that_two_people_hold(standing: tuple[UserApi, StandingClock]) -> None:
    api, clock = standing
    person = await api.person()
    await person.refreshed()
    clock.ahead += timedelta(seconds=10)
    with logged() as lines:
        assert (await api.refresh(person.refresh_token, **FROM)).status_code == 401
    assert lines == [{"event": "refresh token reused", "user_id": person.id, "session": person.session}]
    stranger = {"user_id": None, "display_name": "not signed in", "role": None}
    before = {**newest_of(api, person), "session": person.session}
    assert newest(api) == [entry(person, "refresh_token.reused", actor=stranger, before=before)]


async def test_refused_sign_ins(standing: tuple[UserApi, StandingClock]) -> None:
    api, _ = standing
    person = await api.person()
    with logged() as lines:
        for _ in range(2):
            assert (await login(api, person.email, WRONG)).status_code == 401
        assert (await login(api, person.email, WRONG)).status_code == 429
        assert (await login(api, "nobody@example.com", WRONG)).status_code == 401
    refused = {"event": "sign-in refused", "reason": "invalid_credentials", "address": ADDRESS}
    [held_back] = [line for line in lines if line["event"] == "attempt held back"]
    assert lines == [
        {**refused, "user_id": person.id},
        {**refused, "user_id": person.id},
        held_back,
        {**refused, "user_id": None},
    ]
    assert held_back["by"] == "account"
    first, second, unknown = newest(api, 3)
    stranger = {"user_id": None, "display_name": "not signed in", "role": None}
    account = {"name": held_back["key"], "failures": 2, "held_back": 0, "pause_seconds": 1}
    network = {"failures": 2, "held_back": 0, "pause_seconds": 0}
    assert len(held_back["key"]) == 16
    assert second == entry(
        person,
        "sign_in.refused",
        actor=stranger,
        reason="invalid_credentials",
        after={"account": account, "network": network, "others_left_out": 0},
    )
    assert first["after"]["account"] == {**account, "failures": 1, "pause_seconds": 0}
    assert unknown["target"] == {"kind": "unknown account", "id": unknown["after"]["account"]["name"]}

    admin = await api.person(Role.ADMIN)
    with logged() as lines:
        await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "lost phone"}, **FROM)
    [line] = [line for line in lines if line["event"] == "user locked"]
    assert line == {
        "event": "user locked",
        "user_id": person.id,
        "actor_id": admin.id,
        "ended_sessions": 1,
        "ended_api_keys": 0,
        "reason": "lost phone",
    }
    with logged() as lines:
        await admin.call("PATCH", f"/users/{person.id}/unlock", {"reason": "found"}, **FROM)
    assert "user unlocked" in [line["event"] for line in lines]


async def test_keys_and_passwords(standing: tuple[UserApi, StandingClock]) -> None:
    api, clock = standing
    person = await api.person()
    wanted = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"], "expires_in_days": 2}
    with logged() as lines:
        key_id = (await person.call("POST", "/auth/tokens", wanted, **FROM)).json()["key"]["id"]
    scopes = ["use_own_accounts"]
    assert lines == [{"event": "API key made", "user_id": person.id, "key_id": key_id, "scopes": scopes}]
    ends = format_instant(clock() + timedelta(days=2))
    state = {"key_id": key_id, "name": "ci", "scopes": scopes, "expires_at": ends}
    assert newest(api) == [entry(person, "create_api_key", after=state)]
    with logged() as lines:
        await person.call("DELETE", f"/auth/tokens/{key_id}", **FROM)
    assert lines == [{"event": "API key revoked", "user_id": person.id, "key_id": key_id}]
    assert newest(api) == [entry(person, "revoke_api_key", before=state)]

    passwords = {"current_password": WRONG, "new_password": NEW_PASSWORD, "end_other_sessions": False}
    with logged() as lines:
        await person.call("POST", "/auth/change-password", passwords, **FROM)
    assert lines == [{"event": "password not confirmed", "user_id": person.id, "address": ADDRESS}]
    [refused] = newest(api)
    assert (refused["actor"], refused["action"]) == (actor_of(person), "confirmation.refused")
    passwords["current_password"] = PASSWORD
    with logged() as lines:
        await person.call("POST", "/auth/change-password", passwords, **FROM)
    assert lines == [{"event": "password changed", "user_id": person.id, "ended_sessions": 0}]
    assert newest(api) == [entry(person, "change_password", after={"ends_other_sessions": False})]

    other = await api.sign_in(person.email, NEW_PASSWORD)
    third = await api.sign_in(person.email, NEW_PASSWORD)
    await third.call("DELETE", f"/auth/sessions/{other.session}")
    other = await api.sign_in(person.email, NEW_PASSWORD)
    await other.call("DELETE", "/auth/sessions?keep_current=true", **FROM)
    assert newest(api) == [
        entry(
            person,
            "end_all_sessions",
            before={"ended_sessions": 2, "ended_api_keys": 0},
            after={"kept_session": other.session},
        )
    ]
    await api.sign_in(person.email, NEW_PASSWORD)
    with logged() as lines:
        await other.call("DELETE", "/auth/sessions", **FROM)
    assert lines == [
        {"event": "all sessions ended", "user_id": person.id, "ended_sessions": 2, "ended_api_keys": 0}
    ]
    counts = {"ended_sessions": 2, "ended_api_keys": 0}
    assert newest(api) == [entry(person, "end_all_sessions", before=counts, after={"kept_session": None})]


async def test_the_second_factor(standing: tuple[UserApi, StandingClock]) -> None:
    api, clock = standing
    person = await api.person()
    begun = await person.call("POST", "/auth/totp", {"password": PASSWORD}, **FROM)
    app = pyotp.TOTP(begun.json()["secret"])
    confirmed = await person.call("POST", "/auth/totp/confirm", {"totp": app.at(clock())}, **FROM)
    codes = confirmed.json()["recovery_codes"]
    with logged() as lines:
        assert (await login(api, person.email, totp="000000")).status_code == 401
    assert lines == [{"event": "second factor refused", "user_id": person.id, "address": ADDRESS}]
    [refused] = newest(api)
    assert (refused["action"], refused["reason"]) == ("sign_in.refused", "invalid_totp")
    for left in (9, 8):
        with logged() as lines:
            assert (await login(api, person.email, totp=codes.pop())).status_code == 200
        assert lines[0] == {"event": "recovery code used", "user_id": person.id, "left": left}
        used, signed_in = newest(api, 2)
        assert used == entry(
            person,
            "use_recovery_code",
            before={"recovery_codes": left + 1},
            after={"recovery_codes": left},
        )
        assert signed_in["after"]["second_factor"] == "recovery_code"
    clock.ahead += timedelta(seconds=30)
    assert (await login(api, person.email, totp=app.at(clock()))).status_code == 200
    assert newest(api)[0]["after"]["second_factor"] == "totp"

    user = api.stored("users")["users"][0]
    with logged() as lines:
        changed = await api.administration.reset_second_factor(
            user["_id"], actor=SHELL, reason="lost the phone"
        )
    assert (changed.id, changed.second_factor) == (user["_id"], False)
    [line] = lines
    assert (line["event"], line["action"], line["reason"]) == (
        "administrative act",
        "reset_second_factor",
        "lost the phone",
    )
    assert api.stored("second_factors")["second_factors"] == []
    assert newest(api) == [
        entry(
            person,
            "reset_second_factor",
            actor={"user_id": None, "display_name": "the server's shell", "role": None},
            request_id="-",
            address="local",
            reason="lost the phone",
            before={"role": "user", "locked": False, "second_factor": True},
            after={"role": "user", "locked": False},
        )
    ]
    # All sessions ended with it.
    assert (await person.call("GET", "/users/me")).status_code == 401
    assert (await login(api, person.email)).status_code == 200


async def test_a_new_role(standing: tuple[UserApi, StandingClock]) -> None:
    api, _ = standing
    admin, person = await api.person(Role.ADMIN), await api.person()
    body = {"role": "support", "reason": "new colleague"}
    with logged() as lines:
        await admin.call("PATCH", f"/users/{person.id}/role", body, **FROM)
    [line] = [line for line in lines if line["event"] == "role changed"]
    assert line == {
        "event": "role changed",
        "user_id": person.id,
        "actor_id": admin.id,
        "before": "user",
        "after": "support",
        "ended_sessions": 1,
        "ended_api_keys": 0,
        "reason": "new colleague",
    }
    assert newest(api) == [
        entry(
            person,
            "change_role",
            actor={"user_id": admin.id, "display_name": "Ann Other", "role": "admin"},
            reason="new colleague",
            before={"role": "user", "locked": False},
            after={"role": "support", "locked": False},
        )
    ]
