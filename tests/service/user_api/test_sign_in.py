import asyncio
import threading

import argon2
import pytest
from structlog.testing import capture_logs

from tests.support.user_api import (
    PASSWORD,
    UserApi,
    device_token_in,
    new_email,
    refresh_token_in,
    running_user_api,
    token_in,
)
from tests.support.waiting import PATIENCE_SECONDS


async def test_a_sign_in_begins_a_session_and_gives_its_tokens_in_the_cookies_alone(
    user_api: UserApi,
) -> None:
    user = await user_api.register()
    answer = await user_api.call("POST", "/auth/login", {"email": user["email"], "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["user"] == user
    cookies = {}
    for header in answer.headers.get_list("Set-Cookie"):
        name, *attributes = header.split(";")
        cookies[name.partition("=")[0]] = {attribute.strip() for attribute in attributes}
    common = {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"}
    assert cookies == {
        "__Host-bankctl": {*common, "Max-Age=600"},
        "__Host-bankctl-refresh": {*common, "Max-Age=43200"},
        "__Host-bankctl-device": {*common, "Max-Age=15552000"},
    }
    assert token_in(answer) not in answer.text
    assert refresh_token_in(answer) not in answer.text
    assert device_token_in(answer) not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"


async def test_each_sign_in_is_a_new_session(user_api: UserApi) -> None:
    first = await user_api.person()
    second = await user_api.sign_in(first.email)
    assert first.session_id != second.session_id
    assert first.token != second.token
    assert (await first.call("GET", "/auth/session")).status_code == 200


async def test_unknown_user_and_wrong_password_are_answered_alike(user_api: UserApi) -> None:
    user = await user_api.register()
    answers = [
        await user_api.call(
            "POST", "/auth/login", {"email": email, "password": "wrong words"}, X_Request_Id="same"
        )
        for email in (user["email"], new_email(), "no address at all")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_credentials"
    assert all("Set-Cookie" not in answer.headers for answer in answers)


async def test_more_sign_ins_than_can_wait_are_refused_at_once_also_for_unknown_users(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, hashing_workers=1, hashing_queue=1) as api:
        user = await api.register()
        for email in (user["email"], new_email()):
            credentials = {"email": email, "password": "wrong words"}
            answers = await asyncio.gather(*(api.call("POST", "/auth/login", credentials) for _ in range(9)))
            overloaded = [answer for answer in answers if answer.status_code == 503]
            assert {answer.status_code for answer in answers} == {401, 503}
            assert {answer.json()["code"] for answer in overloaded} == {"overloaded"}
            assert {answer.headers["Retry-After"] for answer in overloaded} == {"1"}
        await api.sign_in(user["email"])


async def test_hashing_leaves_the_event_loop_free(user_api: UserApi, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, may_end = threading.Event(), threading.Event()
    ended_in_time: list[bool] = []
    verify = argon2.PasswordHasher.verify

    def held(hasher: argon2.PasswordHasher, password_hash: str, password: str) -> bool:
        begun.set()
        ended_in_time.append(may_end.wait(timeout=10))
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", held)
    credentials = {"email": new_email(), "password": "wrong words"}
    sign_in = asyncio.create_task(user_api.call("POST", "/auth/login", credentials))
    assert await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
    assert (await user_api.call("GET", "/healthz")).status_code == 200
    may_end.set()
    assert (await sign_in).status_code == 401
    assert ended_in_time == [True]


async def test_security_events_are_logged_without_secrets(user_api: UserApi) -> None:
    user = await user_api.register()
    typed_into_the_wrong_field = "my secret words"
    with capture_logs() as logs:
        person = await user_api.sign_in(user["email"])
        for email, password in ((user["email"], "wrong words"), (typed_into_the_wrong_field, "wrong words")):
            await user_api.call("POST", "/auth/login", {"email": email, "password": password})
    assert [entry["event"] for entry in logs if entry["event"].startswith("sign")] == [
        "signed in",
        "sign-in refused",
        "sign-in refused",
    ]
    for secret in (
        PASSWORD,
        "wrong words",
        person.token,
        person.refresh_token,
        user["email"],
        typed_into_the_wrong_field,
    ):
        assert secret not in str(logs)


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("bankctl/1.0 (Linux)", "bankctl/1.0 (Linux)"),
        ("a" * 400, "a" * 120),
        ("x\u00a0\u009b31mred", "x31mred"),
        ("", "unknown"),
    ],
)
async def test_a_session_names_its_device_and_address(user_api: UserApi, agent: str, device: str) -> None:
    user = await user_api.register()
    credentials = {"email": user["email"], "password": PASSWORD}
    headers = {"X-Requested-With": "x", "X-Forwarded-For": "2001:db8::7"}
    raw = [(b"User-Agent", agent.encode()), *((k.encode(), v.encode()) for k, v in headers.items())]
    answer = await user_api.http.post("/auth/login", json=credentials, headers=raw)
    assert answer.json()["session"]["device"] == device
    assert answer.json()["session"]["address"] == "2001:db8::7"


@pytest.mark.parametrize("forwarded", ["", "not an address", "1.2.3.4, junk"])
async def test_a_forwarded_address_that_is_none_is_not_kept(user_api: UserApi, forwarded: str) -> None:
    user = await user_api.register()
    credentials = {"email": user["email"], "password": PASSWORD}
    answer = await user_api.call("POST", "/auth/login", credentials, X_Forwarded_For=forwarded)
    assert answer.json()["session"]["address"] == "127.0.0.1"


async def test_what_a_caller_puts_into_the_path_cannot_drive_the_log(user_api: UserApi) -> None:
    with capture_logs() as logs:
        await user_api.call("GET", "/users/%1b%5b31m%0afake")
    [entry] = [entry for entry in logs if entry["event"] == "request refused"]
    assert entry["path"].isprintable()


async def test_an_unknown_user_costs_the_same_hash_as_a_wrong_password(
    user_api: UserApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await user_api.register()
    hasher = user_api.users._hasher
    costs: list[argon2.Parameters] = []
    verify = hasher._verify

    def counted(password: str, password_hash: str | None) -> bool:
        costs.append(argon2.extract_parameters(password_hash or hasher._dummy_hash))
        return verify(password, password_hash)

    monkeypatch.setattr(hasher, "_verify", counted)
    for email in (user["email"], new_email(), "no address at all"):
        await user_api.call("POST", "/auth/login", {"email": email, "password": "wrong words"})
    assert len(costs) == 3
    assert costs.count(costs[0]) == 3


async def test_nobody_is_there_before_somebody_is_made(lone_user_api: UserApi) -> None:
    assert set(map(len, lone_user_api.stored("users", "sessions", "api_keys").values())) == {0}
    for password in ("admin", "password", "operator", ""):
        body = {"email": "admin@example.com", "password": password or "x"}
        assert (await lone_user_api.call("POST", "/auth/login", body)).status_code == 401


async def test_a_sign_in_takes_no_session_that_a_caller_brings(user_api: UserApi) -> None:
    person, stranger = await user_api.person(), await user_api.person()
    for brought in (person.token, stranger.token, "planted"):
        credentials = {"email": person.email, "password": PASSWORD}
        answer = await user_api.call("POST", "/auth/login", credentials, token=brought)
        assert answer.json()["session"]["id"] not in {person.session, stranger.session}
        assert token_in(answer) not in {person.token, stranger.token, "planted"}


async def test_no_answer_holds_a_token_in_its_body(user_api: UserApi) -> None:
    person = await user_api.person()
    refreshed = await person.refreshed()
    for method, path in (
        ("GET", "/auth/session"),
        ("GET", "/auth/sessions"),
        ("GET", "/users/me"),
        ("POST", "/auth/refresh"),
    ):
        if path == "/auth/refresh":
            answer = await user_api.refresh(refreshed.refresh_token)
            given = [token_in(answer), refresh_token_in(answer)]
        else:
            answer, given = await refreshed.call(method, path), []
        assert answer.status_code == 200
        for token in (refreshed.token, refreshed.refresh_token, person.refresh_token, *given):
            assert token not in answer.text
            assert token.rpartition(".")[2] not in answer.text
