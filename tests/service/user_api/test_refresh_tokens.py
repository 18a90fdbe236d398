"""Refresh tokens rotate: each is good for one exchange, and an old one ends the session."""

import asyncio
import hashlib
from datetime import timedelta

import jwt
from structlog.testing import capture_logs

from daemons.contracts.permissions import Role
from tests.support.user_api import (
    MovableClock,
    Person,
    UserApi,
    refresh_token_in,
    running_user_api,
    token_in,
)


async def lives(person: Person) -> bool:
    return (await person.call("GET", "/auth/session")).status_code == 200


async def test_an_access_token_lasts_ten_minutes_and_the_session_goes_on_by_refreshing(
    mongo_uri: str, database_name: str
) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        person = await api.person()
        claims = jwt.decode(person.token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 600
        clock.ahead = timedelta(minutes=10)
        answer = await person.call("GET", "/auth/session")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
        refreshed = await person.refreshed()
        assert await lives(refreshed)
        assert refreshed.token != person.token
        shown = (await refreshed.call("GET", "/auth/session")).json()
        assert (shown["user"]["id"], shown["session"]["id"]) == (person.id, person.session)


async def test_no_access_token_outlives_its_session(mongo_uri: str, database_name: str) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, session_hours=1) as api:
        person = await api.person()
        clock.ahead = timedelta(minutes=55)
        claims = jwt.decode((await person.refreshed()).token, options={"verify_signature": False})
        assert 0 < claims["exp"] - claims["iat"] <= 300


async def test_the_reuse_of_an_old_refresh_token_ends_the_session(mongo_uri: str, database_name: str) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        person = await api.person()
        other = await api.sign_in(person.email)
        refreshed = await person.refreshed()
        clock.ahead = timedelta(seconds=10)
        with capture_logs() as logs:
            answer = await api.refresh(person.refresh_token)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
        assert "Set-Cookie" not in answer.headers
        assert "refresh token reused" in [entry["event"] for entry in logs]
        assert not await lives(refreshed)
        assert (await api.refresh(refreshed.refresh_token)).status_code == 401
        assert await lives(other)


async def test_a_token_older_than_the_predecessor_ends_the_session_at_once(user_api: UserApi) -> None:
    first = await user_api.person()
    third = await (await first.refreshed()).refreshed()
    assert (await user_api.refresh(first.refresh_token)).status_code == 401
    assert not await lives(third)


async def test_two_exchanges_at_once_give_the_same_successor_and_end_nothing(user_api: UserApi) -> None:
    person = await user_api.person()
    answers = await asyncio.gather(*(user_api.refresh(person.refresh_token) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({refresh_token_in(answer) for answer in answers}) == 1
    # A line that was cut before the answer came: the same request again is answered the same.
    again = await person.refreshed()
    assert again.refresh_token == refresh_token_in(answers[0])
    assert await lives(again)
    assert await lives(await again.refreshed())


async def test_refresh_tokens_are_kept_as_digests_only(lone_user_api: UserApi) -> None:
    person = await lone_user_api.person()
    refreshed = await person.refreshed()
    kept = lone_user_api.stored("refresh_tokens")["refresh_tokens"]
    tokens = (person.refresh_token, refreshed.refresh_token)
    assert {row["_id"] for row in kept} == {hashlib.sha256(token.encode()).digest() for token in tokens}
    assert not any(token in str(lone_user_api.stored("refresh_tokens", "sessions")) for token in tokens)
    assert all(len(token) == 43 for token in tokens)


async def test_what_is_no_refresh_token_is_refused(user_api: UserApi) -> None:
    person = await user_api.person()
    for offered in ("", "x", person.token, "\u00e9".encode().hex(), "A" * 43):
        answer = await user_api.refresh(offered)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    answer = await user_api.call("POST", "/auth/refresh", token=person.refresh_token)
    assert answer.status_code == 401
    answer = await user_api.call("GET", "/users/me", token=person.refresh_token)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
    assert await lives(person)


async def test_an_ended_session_cannot_be_refreshed(user_api: UserApi) -> None:
    admin = await user_api.person(Role.ADMIN)
    gone, locked, promoted, changed = [await user_api.person() for _ in range(4)]
    await gone.call("POST", "/auth/logout")
    await admin.call("PATCH", f"/users/{locked.id}/lock", {"reason": "test"})
    await admin.call("PATCH", f"/users/{promoted.id}/role", {"role": "support", "reason": "test"})
    other = await user_api.sign_in(changed.email)
    passwords = {"current_password": changed.password, "new_password": "eleven loud herons"}
    assert (await changed.call("POST", "/auth/change-password", passwords)).status_code == 204
    for person in (gone, locked, promoted, other):
        answer = await user_api.refresh(person.refresh_token)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
    assert await lives(await changed.refreshed())


async def test_a_new_secret_signs_nobody_out(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name) as before:
        person = await before.person()
        exchanged = await before.refresh(person.refresh_token)
    secrets = {"secret": "another secret of the tests, as long", "jwt_secret_previous": before.secret}
    async with running_user_api(mongo_uri, database_name, **secrets) as after:
        assert (await after.call("GET", "/users/me", token=person.token)).status_code == 200
        # The exchange just before the change is answered as it was.
        repeated = await after.refresh(person.refresh_token)
        assert refresh_token_in(repeated) == refresh_token_in(exchanged)
        new = token_in(repeated)
        assert (await after.call("GET", "/users/me", token=new)).status_code == 200
        kids = [jwt.get_unverified_header(token)["kid"] for token in (new, person.token)]
        keys = (await after.internal("GET", "/internal/keys")).json()["keys"]
        assert [key["kid"] for key in keys] == kids
        assert kids[0] != kids[1]
    # Without the previous one its tokens are worth nothing, and sessions go on all the same.
    async with running_user_api(mongo_uri, database_name, secret=secrets["secret"]) as later:
        answer = await later.call("GET", "/users/me", token=person.token)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert (await later.refresh(refresh_token_in(repeated))).status_code == 200
