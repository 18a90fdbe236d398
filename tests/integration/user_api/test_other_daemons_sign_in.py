"""How the other daemons see sessions: their authenticator, and a whole one, against the real user_api."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx
import pytest

from daemons.contracts.errors import TransientError, UnauthenticatedError
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.remote_sessions import ASKED_EVERY_SECONDS, RemoteSessions
from daemons.user_api.schema import ACCESS_CHANGES, ACCESS_POSITION
from tests.faults.proxy import Mode, running_proxy
from tests.support.bank import PASSWORD as BANK_PASSWORD
from tests.support.bank import Bank
from tests.support.daemon_keys import calls_of
from tests.support.user_api import SECRET, MovableClock, Person, UserApi, running_user_api
from tests.support.waiting import eventually

NEW_SECRET = "another secret of the tests, as long"
# As docs/security.md and docs/adr/0005 promise.
BELIEVED_SECONDS, KEYS_BELIEVED_SECONDS = 3, 60
Act = Callable[[UserApi, Person], Awaitable[object]]


class Seconds:
    """A monotonic clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def other_daemon(api: UserApi, monotonic: Seconds, **more: MovableClock) -> RemoteSessions:
    return daemon_over(api.http, monotonic, **more)


def daemon_over(http: httpx.AsyncClient, monotonic: Seconds, **more: MovableClock) -> RemoteSessions:
    tokens = calls_of("banking_api")
    return RemoteSessions(http, audience="banking_api", service_tokens=tokens, monotonic=monotonic, **more)


class Line(httpx.AsyncClient):
    """A daemon's line to user_api, which counts the questions."""

    def __init__(self, port: int) -> None:
        async def count(request: httpx.Request) -> None:
            self.questions += request.url.path == "/internal/callers/verify"

        super().__init__(
            base_url=f"http://127.0.0.1:{port}", timeout=60, event_hooks={"request": [count], "response": []}
        )
        self.questions = 0


def port_of(api: UserApi) -> int:
    port = api.http.base_url.port
    assert port is not None
    return port


async def until_nothing_is_asked(sessions: RemoteSessions) -> None:
    async def quiet() -> bool:
        return sessions._asking is None

    await eventually(quiet, every_seconds=0.001)


async def refusal(sessions: RemoteSessions, person: Person) -> str | None:
    """Return the code with which the other daemon refuses the person's token; None if it takes it."""
    try:
        caller = await sessions.authenticate(person.token)
    except UnauthenticatedError as refused:
        return refused.code
    assert str(caller.user_id) == person.id
    return None


async def log_out(_api: UserApi, person: Person) -> None:
    await person.call("POST", "/auth/logout")


async def end_all(api: UserApi, person: Person) -> None:
    await (await api.sign_in(person.email)).call("DELETE", "/auth/sessions")


async def reuse(_api: UserApi, person: Person) -> None:
    await (await person.refreshed()).refreshed()
    assert (await person.api.refresh(person.refresh_token)).status_code == 401


async def lock(api: UserApi, person: Person) -> None:
    admin = await api.person(Role.ADMIN)
    await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "test"})


async def demote(api: UserApi, person: Person) -> None:
    admin = await api.person(Role.ADMIN)
    await admin.call("PATCH", f"/users/{person.id}/role", {"role": "user", "reason": "test"})


async def change_password(api: UserApi, person: Person) -> None:
    body = {"current_password": person.password, "new_password": "eleven loud herons"}
    await (await api.sign_in(person.email)).call("POST", "/auth/change-password", body)


@pytest.mark.parametrize("act", [log_out, end_all, reuse, lock, demote, change_password])
async def test_an_ended_session_is_refused_by_other_daemons_within_seconds(
    mongo_uri: str, database_name: str, act: Act
) -> None:
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api:
        sessions = other_daemon(api, monotonic)
        person = await api.person(Role.SUPPORT)
        caller = await sessions.authenticate(person.token)
        assert (caller.role, caller.display_name) == (Role.SUPPORT, "Ann Other")
        other = await api.person()
        assert await refusal(sessions, other) is None
        await act(api, person)
        # What the answers to others' questions say renews what is known of everybody who has not changed.
        for _ in range(BELIEVED_SECONDS):
            monotonic.now += 1
            assert await refusal(sessions, other) is None
            await until_nothing_is_asked(sessions)
        assert await refusal(sessions, person) == "session_ended"
        with pytest.raises(UnauthenticatedError):
            await sessions.renew(caller)


@pytest.mark.parametrize("mode", [Mode.DROP, Mode.RESET, Mode.BLACK_HOLE, Mode.CUT_BEFORE_ANSWER])
async def test_without_an_answer_nobody_is_let_in_for_longer_than_one_is_believed(
    mongo_uri: str, database_name: str, mode: Mode
) -> None:
    monotonic = Seconds()
    async with (
        running_user_api(mongo_uri, database_name) as api,
        running_proxy(port_of(api)) as proxy,
        Line(proxy.port) as line,
    ):
        sessions = daemon_over(line, monotonic)
        person, other = await api.person(), await api.person()
        assert await refusal(sessions, person) is None
        assert await refusal(sessions, other) is None
        proxy.set_mode(mode)
        await log_out(api, person)
        monotonic.now += BELIEVED_SECONDS / 2
        assert await refusal(sessions, other) is None
        await until_nothing_is_asked(sessions)
        monotonic.now += BELIEVED_SECONDS / 2
        for one in (person, other):
            with pytest.raises(TransientError, match="Sign-in cannot be checked"):
                await sessions.authenticate(one.token)
        proxy.set_mode(Mode.PASS)
        assert await refusal(sessions, person) == "session_ended"
        assert await refusal(sessions, other) is None


async def test_an_ending_is_heard_of_from_any_process_of_user_api(mongo_uri: str, database_name: str) -> None:
    monotonic = Seconds()
    async with (
        running_user_api(mongo_uri, database_name) as first,
        running_user_api(mongo_uri, database_name) as second,
    ):
        sessions = other_daemon(first, monotonic)
        person, other = await first.person(), await first.person()
        assert await refusal(sessions, person) is None
        assert await refusal(sessions, other) is None
        await second.call("POST", "/auth/logout", token=person.token)
        monotonic.now += BELIEVED_SECONDS
        assert await refusal(sessions, other) is None
        assert await refusal(sessions, person) == "session_ended"


@pytest.mark.parametrize("position", [None, 0])
async def test_where_changes_are_missing_nothing_known_counts(
    mongo_uri: str, database_name: str, position: int | None
) -> None:
    """They are kept for an hour only, and a database may be put back to what it was."""
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api, Line(port_of(api)) as line:
        sessions = daemon_over(line, monotonic)
        person, other = await api.person(Role.SUPPORT), await api.person()
        assert await refusal(sessions, person) is None
        assert await refusal(sessions, other) is None
        await log_out(api, person)
        await api.database[ACCESS_CHANGES].delete_many({})
        if position is not None:
            await api.database[ACCESS_POSITION].update_one({}, {"$set": {"position": position}})
        monotonic.now += BELIEVED_SECONDS
        assert await refusal(sessions, person) == "session_ended"
        before = line.questions
        assert await refusal(sessions, other) is None
        assert line.questions == before + 1
        assert await refusal(sessions, other) is None
        assert line.questions == before + 1


async def test_one_question_serves_all_sessions(mongo_uri: str, database_name: str) -> None:
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api, Line(port_of(api)) as line:
        sessions = daemon_over(line, monotonic)
        person = await api.person()
        people = [person, *[await api.sign_in(person.email) for _ in range(12)]]

        async def all_come() -> int:
            before = line.questions
            assert await asyncio.gather(*(refusal(sessions, one) for one in people)) == [None] * len(people)
            await until_nothing_is_asked(sessions)
            return line.questions - before

        assert await all_come() <= 2
        assert await all_come() == 0
        for _ in range(10):
            monotonic.now += ASKED_EVERY_SECONDS
            assert await all_come() == 1
        monotonic.now += BELIEVED_SECONDS
        assert await all_come() <= 2


async def test_an_answer_is_as_old_as_its_question(mongo_uri: str, database_name: str) -> None:
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api, Line(port_of(api)) as line:
        sessions = daemon_over(line, monotonic)
        person = await api.person()
        assert await refusal(sessions, person) is None

        async def late(_response: httpx.Response) -> None:
            monotonic.now += BELIEVED_SECONDS

        line.event_hooks = {**line.event_hooks, "response": [late]}
        monotonic.now += BELIEVED_SECONDS
        for _ in range(3):
            before = line.questions
            assert await refusal(sessions, person) is None
            assert line.questions > before


async def test_a_session_that_is_used_elsewhere_only_is_not_idle(mongo_uri: str, database_name: str) -> None:
    monotonic, clock = Seconds(), MovableClock()
    settings = {"session_idle_minutes": 2}
    async with running_user_api(mongo_uri, database_name, clock=clock, **settings) as api:
        sessions = other_daemon(api, monotonic, clock=clock)
        person = await api.person()

        async def passes(seconds: float) -> None:
            await until_nothing_is_asked(sessions)
            monotonic.now += seconds
            clock.ahead += timedelta(seconds=seconds)

        for _ in range(200):
            assert await refusal(sessions, person) is None
            await passes(2)
        await passes(130)
        assert await refusal(sessions, person) == "session_ended"


async def test_a_whole_daemon_refuses_an_ended_session(bank: Bank) -> None:
    person = await bank.person("Ann")
    assert (await person.get("/accounts")).status_code == 200
    assert (await person.post("/auth/logout", None)).status_code == 204

    async def refused() -> bool:
        answer = await person.get("/accounts")
        return answer.status_code == 401 and answer.json()["code"] == "session_ended"

    await eventually(refused)


async def test_a_connection_may_outlive_the_token_that_opened_it_but_not_the_session(
    mongo_uri: str, database_name: str
) -> None:
    monotonic, clock = Seconds(), MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock) as api:
        sessions = other_daemon(api, monotonic, clock=clock)
        person = await api.person()
        caller = await sessions.authenticate(person.token)
        clock.ahead = timedelta(minutes=11)
        assert await refusal(sessions, person) == "session_ended"
        assert await sessions.renew(caller) == caller
        clock.ahead = timedelta(hours=12)
        monotonic.now += BELIEVED_SECONDS
        with pytest.raises(UnauthenticatedError):
            await sessions.renew(caller)


async def test_a_new_key_is_picked_up_without_a_restart_and_a_withdrawn_one_dropped(
    mongo_uri: str, database_name: str
) -> None:
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api:
        sessions = other_daemon(api, monotonic)
        old = await api.person()
        assert await refusal(sessions, old) is None
    settings = {"secret": NEW_SECRET, "jwt_secret_previous": SECRET}
    async with running_user_api(mongo_uri, database_name, **settings) as api:
        sessions._client = api.http  # the same daemon, started anew at another port
        monotonic.now += BELIEVED_SECONDS
        new = await api.sign_in(old.email)
        assert await refusal(sessions, new) is None
        assert await refusal(sessions, old) is None
    async with running_user_api(mongo_uri, database_name, secret=NEW_SECRET) as api:
        sessions._client = api.http
        monotonic.now += KEYS_BELIEVED_SECONDS
        assert await refusal(sessions, new) is None
        assert await refusal(sessions, old) == "not_signed_in"


async def test_an_api_key_is_taken_by_other_daemons_and_refused_soon_after_its_end(bank: Bank) -> None:
    person = await bank.person("Ann")
    body = {"password": BANK_PASSWORD, "name": "x", "scopes": ["use_own_accounts"]}
    made = (await person.post("/auth/tokens", body)).json()
    script = bank.nobody()
    script.headers = {"Authorization": f"Bearer {made['token']}", "X-Requested-With": ""}
    account = await script.post("/accounts", {"type": "checking", "currency": "EUR"})
    assert (account.status_code, account.json()["owner_id"]) == (201, person.user_id)
    proof = await script.get("/ledger/proof")
    assert (proof.status_code, proof.json()["code"]) == (403, "forbidden")
    revoked = await person.call("DELETE", f"/auth/tokens/{made['key']['id']}")
    assert revoked.status_code == 204

    async def refused() -> bool:
        answer = await script.get("/accounts")
        return answer.status_code == 401 and answer.json()["code"] == "not_signed_in"

    await eventually(refused)


async def test_a_revoked_key_is_believed_no_longer_than_a_session(mongo_uri: str, database_name: str) -> None:
    monotonic = Seconds()
    async with running_user_api(mongo_uri, database_name) as api:
        sessions = other_daemon(api, monotonic)
        person = await api.person(Role.OPERATOR)
        body = {"password": person.password, "name": "x", "scopes": ["read_events"]}
        made = (await person.call("POST", "/auth/tokens", body)).json()
        caller = await sessions.authenticate_key(made["token"])
        assert caller.may(Permission.READ_EVENTS)
        assert not caller.may(Permission.FUND_ACCOUNTS)
        assert await sessions.renew(caller) == caller
        await person.call("DELETE", f"/auth/tokens/{made['key']['id']}")
        monotonic.now += BELIEVED_SECONDS
        with pytest.raises(UnauthenticatedError):
            await sessions.authenticate_key(made["token"])
        with pytest.raises(UnauthenticatedError):
            await sessions.renew(caller)
