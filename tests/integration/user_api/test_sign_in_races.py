"""What holds when things happen at the same moment, and when the database is gone."""

import asyncio
from pathlib import Path

import httpx
import jwt

from daemons.contracts.permissions import Role
from tests.support.mongo import running_mongod
from tests.support.user_api import PASSWORD, UserApi, question, running_user_api, token_in


async def living_sessions(api: UserApi, signed_in: list[httpx.Response]) -> int:
    tokens = [token_in(answer) for answer in signed_in if answer.is_success]
    sessions = [jwt.decode(token, options={"verify_signature": False})["sid"] for token in tokens]
    return len(await api.verified(*sessions))


async def test_no_session_slips_past_a_lock_or_a_new_password(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name) as api:
        admin, person = await api.person(Role.ADMIN), await api.person()
        credentials = {"email": person.email, "password": PASSWORD}
        for act in (
            person.call(
                "POST",
                "/auth/change-password",
                {"current_password": PASSWORD, "new_password": "eleven loud herons"},
            ),
            admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "race"}),
        ):
            sign_ins = [api.call("POST", "/auth/login", credentials) for _ in range(8)]
            acted, *signed_in = await asyncio.gather(act, *sign_ins)
            assert acted.is_success, acted.text
            assert {answer.status_code for answer in signed_in} <= {200, 401, 403, 503}
            late = await api.call("POST", "/auth/login", credentials)
            assert late.status_code in {401, 403}
            assert await living_sessions(api, signed_in) == 0
            # The next round races with the password that counts now.
            credentials["password"] = "eleven loud herons"
        kept = [one for one in api.stored()["sessions"] if str(one["user_id"]) == person.id]
        assert kept == []


async def test_without_its_database_the_daemon_says_so_and_loses_nothing(tmp_path: Path) -> None:
    with running_mongod(tmp_path) as mongo_uri:
        api_context = running_user_api(mongo_uri, "user_api")
        api = await api_context.__aenter__()
        person = await api.person()
    try:
        # MongoDB is stopped now.
        calls = (
            person.call("GET", "/auth/session"),
            api.internal("POST", "/internal/callers/verify", question(person.session_id)),
            api.call("POST", "/auth/login", {"email": person.email, "password": PASSWORD}),
            api.call(
                "POST",
                "/users",
                {"email": "late@example.com", "display_name": "Late", "password": PASSWORD},
            ),
        )
        for answer in await asyncio.gather(*calls):
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
            assert answer.headers["Retry-After"] == "1"
            assert "127.0.0.1" not in answer.text
        ready = await api.call("GET", "/readyz")
        assert ready.status_code == 503
        assert "mongodb" in ready.json()["reasons"]
        assert (await api.call("GET", "/healthz")).status_code == 200
    finally:
        await api_context.__aexit__(None, None, None)
