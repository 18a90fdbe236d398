from datetime import datetime, timedelta

from daemons.contracts.permissions import Role
from daemons.shared.clock import utc_now
from tests.support.user_api import MovableClock, Person, UserApi, running_user_api

NEW_PASSWORD = "eleven loud herons"
COOKIES = ("__Host-bankctl", "__Host-bankctl-refresh")


async def lives(person: Person) -> bool:
    """Ask both ways: the user's own route, and the other daemons' one."""
    own = await person.call("GET", "/auth/session")
    active = bool(await person.api.verified(person.session_id))
    assert own.status_code == (200 if active else 401), own.text
    if not active:
        assert own.json()["code"] == "session_ended"
    return active


async def test_logout_ends_the_session_itself_not_only_the_cookie(user_api: UserApi) -> None:
    person = await user_api.person()
    other = await user_api.sign_in(person.email)
    answer = await person.call("POST", "/auth/logout")
    assert answer.status_code == 204
    for name, header in zip(COOKIES, answer.headers.get_list("Set-Cookie"), strict=True):
        assert header.startswith(f'{name}=""')
        assert "Max-Age=0" in header
        assert "Secure" in header
    assert not await lives(person)
    assert await lives(other)
    assert (await person.call("POST", "/auth/logout")).status_code == 401


async def test_a_session_shows_its_user_as_they_are_now(user_api: UserApi) -> None:
    person = await user_api.person(Role.SUPPORT)
    answer = await person.call("GET", "/auth/session")
    assert answer.json()["user"]["role"] == "support"
    assert answer.json()["session"]["id"] == person.session
    [told] = await user_api.verified(person.session_id)
    ends_at = datetime.fromisoformat(told.pop("ends_at"))
    assert timedelta(minutes=59) < ends_at - utc_now() <= timedelta(minutes=60)
    assert told == {
        "credential_id": person.session_id,
        "key_digest": None,
        "user_id": person.id,
        "display_name": "Ann Other",
        "role": "support",
        "scopes": None,
        "budget": None,
    }


async def test_people_see_and_end_their_own_sessions_only(user_api: UserApi) -> None:
    person, stranger = await user_api.person(), await user_api.person()
    second = await user_api.sign_in(person.email)
    listed = (await second.call("GET", "/auth/sessions")).json()["items"]
    assert [(one["id"], one["current"]) for one in listed] == [
        (second.session, True),
        (person.session, False),
    ]
    refused = await stranger.call("DELETE", f"/auth/sessions/{person.session}")
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")
    assert await lives(person)
    assert (await second.call("DELETE", f"/auth/sessions/{person.session}")).status_code == 204
    assert not await lives(person)
    for gone in (person.session, person.session_id, "no-uuid"):
        assert (await second.call("DELETE", f"/auth/sessions/{gone}")).status_code == 404


async def test_all_own_sessions_end_at_once_or_all_but_the_one_that_asks(user_api: UserApi) -> None:
    stranger, first = await user_api.person(), await user_api.person()
    second, third = [await user_api.sign_in(first.email) for _ in range(2)]
    assert (await second.call("DELETE", "/auth/sessions?keep_current=true")).status_code == 204
    assert [await lives(one) for one in (first, second, third)] == [False, True, False]
    fourth = await user_api.sign_in(first.email)
    answer = await second.call("DELETE", "/auth/sessions")
    assert answer.status_code == 204
    assert len(answer.headers.get_list("Set-Cookie")) == len(COOKIES)
    assert [await lives(one) for one in (second, fourth, stranger)] == [False, False, True]
    for person in (second, fourth):
        refused = await user_api.refresh(person.refresh_token)
        assert (refused.status_code, refused.json()["code"]) == (401, "session_ended")


async def test_a_session_ends_when_unused_and_at_the_latest_after_its_lifetime(
    mongo_uri: str, database_name: str
) -> None:
    clock = MovableClock()
    async with running_user_api(
        mongo_uri, database_name, clock=clock, session_hours=1, session_idle_minutes=25
    ) as api:
        used, unused = await api.person(), await api.person()
        for minutes in (20, 40, 59):
            clock.ahead = timedelta(minutes=minutes)
            used = await used.refreshed()
            assert await lives(used)
        assert not await lives(unused)
        assert (await api.refresh(unused.refresh_token)).json()["code"] == "session_ended"
        clock.ahead = timedelta(minutes=60)
        assert not await lives(used)
        assert (await api.refresh(used.refresh_token)).json()["code"] == "session_ended"


async def test_unused_sessions_are_not_listed(mongo_uri: str, database_name: str) -> None:
    clock = MovableClock(timedelta(minutes=-62))
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        old = await api.person()
        clock.ahead = timedelta(minutes=-1)
        new = await api.sign_in(old.email)
        clock.ahead = timedelta()
        listed = (await new.call("GET", "/auth/sessions")).json()["items"]
        assert [one["id"] for one in listed] == [new.session]
        assert listed[0]["last_seen_at"] > listed[0]["created_at"]


async def test_a_new_password_ends_the_other_sessions(user_api: UserApi) -> None:
    person = await user_api.person()
    other = await user_api.sign_in(person.email)
    body = {"current_password": person.password, "new_password": NEW_PASSWORD}
    assert (await person.call("POST", "/auth/change-password", body)).status_code == 204
    assert await lives(person)
    assert not await lives(other)
    old = {"email": person.email, "password": person.password}
    assert (await user_api.call("POST", "/auth/login", old)).status_code == 401
    await user_api.sign_in(person.email, NEW_PASSWORD)


async def test_other_sessions_may_go_on_after_a_new_password(user_api: UserApi) -> None:
    person = await user_api.person()
    other = await user_api.sign_in(person.email)
    body = {"current_password": person.password, "new_password": NEW_PASSWORD, "end_other_sessions": False}
    assert (await person.call("POST", "/auth/change-password", body)).status_code == 204
    assert await lives(other)


async def test_a_new_password_needs_the_current_one_and_must_not_be_weak(user_api: UserApi) -> None:
    person = await user_api.person()
    wrong = {"current_password": "not the one", "new_password": NEW_PASSWORD}
    answer = await person.call("POST", "/auth/change-password", wrong)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    weak = {"current_password": person.password, "new_password": "password1234"}
    answer = await person.call("POST", "/auth/change-password", weak)
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["errors"][0]["field"] == "new_password"
    await user_api.sign_in(person.email)
