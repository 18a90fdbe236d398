from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL
from tests.support.user_api import UserApi, new_email

NOBODYS_ID = "6f7b8c1e-94f6-4a60-9a4e-2f1f0d1f3f55"
ADMIN_ACTS = [
    ("role", {"role": "operator", "reason": "new colleague"}),
    ("lock", {"reason": "lost phone"}),
    ("unlock", {"reason": "phone found"}),
]


async def test_a_new_role_counts_at_once_and_ends_the_sessions_of_the_old_one(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    with capture_logs() as logs:
        answer = await admin.call(
            "PATCH", f"/users/{person.id}/role", {"role": "support", "reason": "new colleague"}
        )
    assert (answer.status_code, answer.json()["role"]) == (200, "support")
    assert (await person.call("GET", "/users/me")).json()["code"] == "session_ended"
    again = await user_api.sign_in(person.email)
    assert (await again.call("GET", "/users")).status_code == 200
    [entry] = [entry for entry in logs if entry["event"] == "role changed"]
    assert entry["actor_id"] == admin.id
    assert (entry["before"], entry["after"], entry["reason"]) == ("user", "support", "new colleague")
    assert entry["ended_sessions"] == 1


async def test_the_same_role_again_ends_no_session(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person(Role.SUPPORT)
    body = {"role": "support", "reason": "twice"}
    assert (await admin.call("PATCH", f"/users/{person.id}/role", body)).status_code == 200
    assert (await person.call("GET", "/users/me")).status_code == 200


async def test_a_locked_user_is_out_until_unlocked(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    answer = await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "lost phone"})
    assert (answer.status_code, answer.json()["locked"]) == (200, True)
    assert (await person.call("GET", "/users/me")).json()["code"] == "session_ended"
    right = {"email": person.email, "password": person.password}
    refused = await user_api.call("POST", "/auth/login", right)
    assert (refused.status_code, refused.json()["code"]) == (403, "user_locked")
    wrong = await user_api.call("POST", "/auth/login", {**right, "password": "wrong words"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    answer = await admin.call("PATCH", f"/users/{person.id}/unlock", {"reason": "phone found"})
    assert answer.json()["locked"] is False
    assert (await person.call("GET", "/users/me")).status_code == 401
    await user_api.sign_in(person.email)


@pytest.mark.parametrize(
    ("act", "body"), [("role", {"role": "user", "reason": "tired"}), ("lock", {"reason": "tired"})]
)
async def test_admins_cannot_lock_themselves_out(
    user_api: UserApi, act: str, body: dict[str, object]
) -> None:
    admin = await user_api.person(Role.ADMIN)
    answer = await admin.call("PATCH", f"/users/{admin.id}/{act}", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "self_lockout")
    assert answer.json()["category"] == "rejected"
    assert (await admin.call("GET", "/users/me")).json()["role"] == "admin"


@pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT, Role.OPERATOR])
async def test_only_admins_administer(user_api: UserApi, role: Role) -> None:
    person, target = await user_api.person(role), await user_api.register()
    for act, body in ADMIN_ACTS:
        answer = await person.call("PATCH", f"/users/{target['id']}/{act}", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        own = await person.call("PATCH", f"/users/{person.id}/{act}", body)
        assert (own.status_code, own.json()["code"]) == (403, "forbidden")
    expected = 403 if role is Role.USER else 200
    for path in ("/users", f"/users/{target['id']}", f"/users?email={target['email']}"):
        assert (await person.call("GET", path)).status_code == expected


@pytest.mark.parametrize("user_id", [NOBODYS_ID, "nobody", "%00", "..%2f"])
async def test_what_names_nobody_is_not_found(user_api: UserApi, user_id: str) -> None:
    admin = await user_api.person(Role.ADMIN)
    answers = [await admin.call("PATCH", f"/users/{user_id}/{act}", body) for act, body in ADMIN_ACTS]
    answers.append(await admin.call("GET", f"/users/{user_id}"))
    assert [answer.status_code for answer in answers] == [404] * 4
    assert {answer.json()["code"] for answer in answers} <= {"user_not_found", "route_not_found"}


async def test_users_are_listed_newest_first_page_by_page(lone_user_api: UserApi) -> None:
    staff = await lone_user_api.person(Role.SUPPORT)
    made = [await lone_user_api.register() for _ in range(4)]
    expected = [user["id"] for user in reversed(made)] + [staff.id]
    seen: list[str] = []
    cursor = ""
    while True:
        answer = (await staff.call("GET", f"/users?limit=2{cursor}")).json()
        seen += [user["id"] for user in answer["items"]]
        if not seen[2:]:
            await lone_user_api.register()  # a newcomer shifts nothing on the pages that follow
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
    assert seen == expected


async def test_users_are_found_by_email(user_api: UserApi) -> None:
    staff, target = await user_api.person(Role.SUPPORT), await user_api.register()
    found = await staff.call("GET", f"/users?email={target['email'].upper()}")
    assert found.json() == {"items": [target], "next_cursor": None}
    nobody = await staff.call("GET", f"/users?email={new_email()}")
    assert nobody.json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("limit=0", 422, "limit"),
        ("limit=201", 422, "limit"),
        ("limit=1.5", 422, "limit"),
        ("limit=1&limit=2", 422, "limit"),
        ("email=nobody", 422, "email"),
        ("sort=name", 422, "sort"),
        ("email[$ne]=x", 422, "email[$ne]"),
        ("cursor=%21", 400, None),
        ("cursor=AAAA", 400, None),
        ("cursor=%C3%A9", 400, None),
    ],
)
async def test_a_malformed_query_is_refused_naming_the_parameter(
    user_api: UserApi, query: str, status: int, field: str | None
) -> None:
    staff = await user_api.person(Role.SUPPORT)
    answer = await staff.call("GET", f"/users?{query}")
    assert answer.status_code == status
    if field is None:
        assert answer.json()["code"] == "invalid_cursor"
    else:
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_no_answer_ever_holds_a_password_hash(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    seen = [
        await admin.call("GET", path)
        for path in ("/users", f"/users/{person.id}", "/users/me", "/auth/session", "/auth/sessions")
    ]
    seen += [await admin.call("PATCH", f"/users/{person.id}/{act}", body) for act, body in ADMIN_ACTS]
    fields = {"email": new_email(), "display_name": "Bo", "password": person.password}
    seen.append(await user_api.call("POST", "/users", fields))
    seen.append(await user_api.call("POST", "/auth/login", {k: fields[k] for k in ("email", "password")}))
    seen.append(await user_api.internal("GET", f"/internal/users/{person.id}"))
    seen.append(await user_api.internal("POST", "/internal/users/batch", {"ids": [person.id]}))
    for answer in seen:
        assert answer.is_success, answer.text
        assert "argon2" not in answer.text
        assert "hash" not in answer.text
        assert person.password not in answer.text
    stored = [user["password_hash"] for user in user_api.stored()["users"]]
    assert all(value.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for value in stored)


async def test_a_lock_or_role_that_fails_ends_no_session(user_api: UserApi) -> None:
    person = await user_api.person()
    for act in (
        user_api.administration.change_role(uuid4(), Role.ADMIN, actor=SHELL, reason="x"),
        user_api.administration.lock(
            UUID(person.id), actor=replace(SHELL, user_id=UUID(person.id)), reason="x"
        ),
    ):
        with pytest.raises(Exception, match=r"no such user|lock yourself"):
            await act
    assert (await person.call("GET", "/users/me")).status_code == 200
