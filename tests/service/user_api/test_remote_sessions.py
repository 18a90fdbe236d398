"""What another daemon learns from the real user_api, and what it makes of having no answer."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import httpx
import jwt
import pytest
from structlog.testing import capture_logs

from bankctl.local.service_keys import make_key
from daemons.contracts.errors import TransientError, UnauthenticatedError
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.remote_sessions import RemoteSessions
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from tests.support.daemon_keys import calls_of
from tests.support.user_api import PASSWORD, MovableClock, Person, StandingClock, UserApi


class Asking:
    """Another daemon that authenticates callers; its time is moved by the test."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.seconds = 0.0
        self.clock: MovableClock = MovableClock()
        self.sessions = self.restarted(calls_of("banking_api"))

    def restarted(self, tokens: ServiceTokenSigner) -> RemoteSessions:
        return RemoteSessions(
            self.http,
            audience="banking_api",
            service_tokens=tokens,
            monotonic=lambda: self.seconds,
            # A test may take another clock later.
            clock=lambda: self.clock(),  # noqa: PLW0108
        )

    async def refusal(self, token: str) -> str:
        with pytest.raises(UnauthenticatedError) as refused:
            await self.sessions.authenticate(token)
        return refused.value.code


@pytest.fixture
async def other(user_api: UserApi) -> AsyncIterator[Asking]:
    async with httpx.AsyncClient(base_url=user_api.http.base_url, timeout=60) as http:
        yield Asking(http)


def caller_of(person: Person, role: Role = Role.USER) -> Caller:
    return Caller(UUID(person.id), UUID(person.session_id), role, "Ann Other")


async def test_a_believed_session_ends_with_its_token(user_api: UserApi, other: Asking) -> None:
    person = await user_api.person()
    await other.sessions.authenticate(person.token)
    end = jwt.decode(person.token, options={"verify_signature": False})["exp"]
    other.clock = standing = StandingClock()
    left = timedelta(seconds=end - standing.made_at.timestamp())
    other.clock.ahead = left - timedelta(milliseconds=1)
    assert await other.sessions.authenticate(person.token) == caller_of(person)
    other.clock.ahead = left
    assert await other.refusal(person.token) == "session_ended"


async def test_a_burst_of_one_users_requests_outlives_who_hangs_up(user_api: UserApi, other: Asking) -> None:
    person, ended = await user_api.person(), await user_api.person()
    await ended.call("POST", "/auth/logout")
    burst = [asyncio.create_task(other.sessions.authenticate(person.token)) for _ in range(10)]
    await asyncio.sleep(0)
    burst[0].cancel()
    assert await asyncio.gather(*burst[1:]) == [caller_of(person)] * 9
    # A refusal is kept for nobody: the next request asks again.
    for _ in range(2):
        assert await other.refusal(ended.token) == "session_ended"


async def test_a_token_of_somebody_elses_session_is_refused(user_api: UserApi, other: Asking) -> None:
    person, victim = await user_api.person(), await user_api.person()
    now = other.clock()
    token = user_api.signer.sign(
        user_id=UUID(person.id),
        session_id=UUID(victim.session_id),
        issued_at=now,
        expires_at=now + timedelta(minutes=5),
    )
    assert await other.refusal(token) == "not_signed_in"


async def test_an_api_key_is_asked_about_by_its_digest_and_names_who_may_do_what(
    user_api: UserApi, other: Asking
) -> None:
    person = await user_api.person(Role.SUPPORT)
    body = {"password": PASSWORD, "name": "nightly", "scopes": ["read_users"]}
    made = (await person.call("POST", "/auth/tokens", body)).json()
    caller = await other.sessions.authenticate_key(made["token"])
    assert (caller.user_id, caller.session_id) == (UUID(person.id), UUID(made["key"]["id"]))
    assert (caller.role, caller.display_name) == (Role.SUPPORT, "Ann Other")
    assert caller.scopes == frozenset({Permission.READ_USERS, Permission.SIGNED_IN})
    assert await other.sessions.renew(caller) == caller
    other.seconds = 3.0
    assert await other.sessions.renew(caller) == caller
    for invented in ("bk_invented", ""):
        with pytest.raises(UnauthenticatedError) as refused:
            await other.sessions.authenticate_key(invented)
        assert refused.value.code == "not_signed_in"


async def test_a_connection_is_renewed_by_its_session_alone(user_api: UserApi, other: Asking) -> None:
    people = [await user_api.person() for _ in range(2)]
    for person in people:
        assert await other.sessions.renew(caller_of(person)) == caller_of(person)
    other.clock.ahead = timedelta(days=9)
    assert await other.sessions.renew(caller_of(people[0])) == caller_of(people[0])


async def test_without_user_api_nobody_is_refused_for_good(user_api: UserApi, other: Asking) -> None:
    person = await user_api.person()
    url = str(other.http.base_url)
    other.http.base_url = "http://127.0.0.1:9"
    with pytest.raises(TransientError) as away:
        await other.sessions.authenticate(person.token)
    assert (away.value.code, away.value.retry_after_seconds) == ("unavailable", 1)
    other.http.base_url = url
    assert await other.sessions.authenticate(person.token) == caller_of(person)


async def test_a_daemon_whose_key_is_unknown_says_so_once(user_api: UserApi, other: Asking) -> None:
    person = await user_api.person()
    stranger = other.restarted(calls_of("banking_api", key=make_key()))
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(TransientError):
                await stranger.authenticate(person.token)
        stranger._service_tokens = calls_of("banking_api")
        await stranger.authenticate(person.token)
        stranger._service_tokens = calls_of("banking_api", key=make_key())
        other.seconds += 3
        with pytest.raises(TransientError):
            await stranger.authenticate(person.token)
    said = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert len(said) == 2
    assert "SERVICE_KEY" in said[0]
