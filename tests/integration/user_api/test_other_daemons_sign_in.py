"""How the other daemons see sessions: their authenticator, and a whole one, against the real user_api."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.remote_sessions import RemoteSessions
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
    tokens = calls_of("banking_api")
    return RemoteSessions(
        api.http, audience="banking_api", service_tokens=tokens, monotonic=monotonic, **more
    )


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
        await act(api, person)
        monotonic.now += BELIEVED_SECONDS
        assert await refusal(sessions, person) == "session_ended"
        with pytest.raises(UnauthenticatedError):
            await sessions.renew(caller)


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
