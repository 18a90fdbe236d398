"""What was read a moment ago is checked again where it is written: each race decided by hand."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL
from tests.support.policies import asking_for
from tests.support.user_api import PASSWORD, Person, UserApi, running_user_api

FIRST, SECOND = "eleven loud herons", "twelve tired storks"


def before_it_is_written(
    api: UserApi, monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Awaitable[Any]]
) -> None:
    """Let something else happen when all is read and judged, just before the next transaction begins."""
    audit = api.audit
    turn = audit.turn

    @asynccontextmanager
    async def then() -> AsyncIterator[None]:
        monkeypatch.setattr(audit, "turn", turn)
        await happens()
        async with turn():
            yield

    monkeypatch.setattr(audit, "turn", then)


async def change_password(person: Person, new: str) -> Any:
    body = {"current_password": PASSWORD, "new_password": new}
    return await person.call("POST", "/auth/change-password", body)


@pytest.mark.parametrize("what", ["lock", "role", "password"])
async def test_a_sign_in_of_a_user_who_was_just_changed_begins_no_session(
    user_api: UserApi, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    person, administration = await user_api.person(), user_api.administration
    act: dict[str, Callable[[], Awaitable[Any]]] = {
        "lock": lambda: administration.lock(UUID(person.id), actor=SHELL, reason="race"),
        "role": lambda: administration.change_role(UUID(person.id), Role.SUPPORT, actor=SHELL, reason="race"),
        "password": lambda: change_password(person, FIRST),
    }
    before_it_is_written(user_api, monkeypatch, act[what])
    credentials = {"email": person.email, "password": PASSWORD}
    answer = await user_api.call("POST", "/auth/login", credentials)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    assert "Set-Cookie" not in answer.headers
    kept = [one for one in user_api.stored("sessions")["sessions"] if one["user_id"] == UUID(person.id)]
    assert len(kept) == (1 if what == "password" else 0)


async def test_of_two_new_passwords_at_once_the_first_counts(
    user_api: UserApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await user_api.person()
    before_it_is_written(user_api, monkeypatch, lambda: change_password(person, FIRST))
    answer = await change_password(person, SECOND)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
    await user_api.sign_in(person.email, FIRST)


async def test_a_session_that_ends_while_it_is_refreshed_stays_ended(
    user_api: UserApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await user_api.person()
    tokens = user_api.refresh_tokens
    exchange = tokens.exchange

    async def then(*given: Any) -> bool:
        assert (await person.call("POST", "/auth/logout")).status_code == 204
        return await exchange(*given)

    monkeypatch.setattr(tokens, "exchange", then)
    # It was good when it was judged; what it gives for an ended session opens nothing.
    late = await person.refreshed()
    monkeypatch.undo()
    for answer in (await late.call("GET", "/users/me"), await user_api.refresh(late.refresh_token)):
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_one_who_has_just_become_staff_is_not_locked_by_one_person(
    mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_user_api(mongo_uri, database_name, staff_policy=asking_for("lock_staff")) as api:
        admin, person = await api.person(Role.ADMIN), await api.person()
        before_it_is_written(
            api,
            monkeypatch,
            lambda: api.administration.change_role(UUID(person.id), Role.SUPPORT, actor=SHELL, reason="race"),
        )
        answer = await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "x"})
        assert (answer.status_code, answer.json()["act"]) == (202, "lock_staff")
        assert (await admin.call("GET", f"/users/{person.id}")).json()["locked"] is False
