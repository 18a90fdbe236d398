import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from daemons.contracts.names import SESSION_COOKIE
from daemons.contracts.permissions import Role
from tests.support.user_api import PASSWORD, Person, UserApi, question

Operation = tuple[str, str, dict[str, Any]]

OPERATIONS: dict[str, Operation] = {
    "register": (
        "POST",
        "/users",
        {"email": "new@example.com", "display_name": "New", "password": PASSWORD},
    ),
    "login": ("POST", "/auth/login", {"email": "{email}", "password": PASSWORD}),
    "role": ("PATCH", "/users/{id}/role", {"role": "support", "reason": "why not"}),
    "lock": ("PATCH", "/users/{id}/lock", {"reason": "why not"}),
    "unlock": ("PATCH", "/users/{id}/unlock", {"reason": "why not"}),
    "password": (
        "POST",
        "/auth/change-password",
        {"current_password": PASSWORD, "new_password": "eleven loud herons", "end_other_sessions": True},
    ),
}
INTERNAL: dict[str, Operation] = {
    "verify": ("POST", "/internal/callers/verify", question(str(uuid4()))),
    "batch": ("POST", "/internal/users/batch", {"ids": [str(uuid4())]}),
}
WITHOUT_BODY = [
    ("POST", "/auth/logout"),
    ("POST", "/auth/refresh"),
    ("DELETE", "/auth/sessions/{session}"),
    ("DELETE", "/auth/sessions"),
]
NO_JSON_OBJECT = {
    "nothing": b"",
    "half": b'{"email": ',
    "list": b"[]",
    "text": b'"{}"',
    "key twice": b'{"email": "a@b.example", "email": "c@d.example"}',
    "NaN": b'{"email": NaN}',
    "beyond 64 bits": b'{"email": ' + b"9" * 5000 + b"}",
    "deeper than 16": b'{"email": ' + b"[" * 16 + b"]" * 16 + b"}",
    "far too deep": b'{"email": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "no UTF-8": b'{"email": "\xff"}',
    "lone surrogate": b'{"email": "\\ud800"}',
    "NUL": b'{"email": "\\u0000"}',
}
WELL_FORMED = {("ids", "[]"), ("session_ids", "[]"), ("key_digests", "[]"), ("after", "null"), ("after", "1")}
NO_TEXTS: list[Any] = [None, 1, 1.5, True, [], {}, {"$ne": None}, {"$gt": ""}]


async def send(
    caller: Person, target: Person, operation: Operation, content: bytes, **headers: str
) -> httpx.Response:
    """Send these bytes as the operation's body, signed in as the caller."""
    method, path, _ = operation
    sent = {
        "Content-Type": "application/json",
        "X-Requested-With": "bankctl",
        "Cookie": f"{SESSION_COOKIE}={caller.token}",
    }
    if path.startswith("/internal"):
        sent |= caller.api.service_tokens.header_for("user_api")
    sent |= headers
    url = path.replace("{id}", target.id).replace("{session}", caller.session)
    return await caller.api.http.request(method, url, content=content, headers=sent)


async def people(api: UserApi) -> tuple[Person, Person]:
    return await api.person(Role.ADMIN), await api.person()


@pytest.mark.parametrize("name", [*OPERATIONS, *INTERNAL])
async def test_a_faulty_field_is_named_and_changes_nothing(lone_user_api: UserApi, name: str) -> None:
    caller, target = await people(lone_user_api)
    operation = (OPERATIONS | INTERNAL)[name]
    before = lone_user_api.stored()
    body = {key: caller.email if value == "{email}" else value for key, value in operation[2].items()}
    faulty: list[tuple[str, dict[str, Any]]] = [("unknown", {**body, "unknown": 1})]
    for field in body:
        if field != "end_other_sessions":
            faulty.append((field, {key: value for key, value in body.items() if key != field}))
        wrong = ["yes", 1, None] if field == "end_other_sessions" else NO_TEXTS
        faulty += [
            (field, {**body, field: value})
            for value in wrong
            if (field, json.dumps(value)) not in WELL_FORMED
        ]
        faulty.append((field, {**body, field: "" if field != "end_other_sessions" else "true"}))
    for field, malformed in faulty:
        answer = await send(caller, target, operation, json.dumps(malformed).encode())
        assert answer.status_code == 422, (malformed, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_request"
        assert {fault["field"].partition(".")[0] for fault in answer.json()["errors"]} == {field}, malformed
    assert lone_user_api.stored() == before


@pytest.mark.parametrize("name", [*OPERATIONS, *INTERNAL])
async def test_what_is_no_json_object_changes_nothing(lone_user_api: UserApi, name: str) -> None:
    caller, target = await people(lone_user_api)
    operation = (OPERATIONS | INTERNAL)[name]
    before = lone_user_api.stored()
    for label, content in NO_JSON_OBJECT.items():
        answer = await send(caller, target, operation, content)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json"), label
    large = await send(caller, target, operation, b'{"email": "' + b"x" * 300_000 + b'"}')
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        typed = await send(caller, target, operation, b"{}", **{"Content-Type": media_type})
        assert (typed.status_code, typed.json()["code"]) == (415, "unsupported_media_type")
    assert lone_user_api.stored() == before


async def test_every_change_needs_the_header_against_forgery_and_refuses_other_sites(
    lone_user_api: UserApi,
) -> None:
    caller, target = await people(lone_user_api)
    before = lone_user_api.stored()
    operations = [*OPERATIONS.values(), *((method, path, {}) for method, path in WITHOUT_BODY)]
    for operation in operations:
        content = json.dumps(operation[2]).replace("{email}", target.email).encode()
        missing = await send(caller, target, operation, content, **{"X-Requested-With": ""})
        assert (missing.status_code, missing.json()["code"]) == (403, "csrf_header_missing"), operation
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            refused = await send(caller, target, operation, content, **foreign)
            assert (refused.status_code, refused.json()["code"]) == (403, "origin_refused"), operation
    assert lone_user_api.stored() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", "x" * 71),
        ("display_name", "   "),
        ("display_name", "\x1b[31mred"),
        ("display_name", "\u202egnp.exe"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "x@" + "y" * 250 + ".example"),
        ("email", "two@at@example.com"),
        ("email", "no-dot@example"),
        ("email", "in side@example.com"),
        ("email", "a\u202eb@example.com"),
        ("email", "a..b@example.com"),
        ("password", "x" * 1025),
    ],
)
async def test_a_registration_with_an_impossible_field_is_refused(
    lone_user_api: UserApi, field: str, value: str
) -> None:
    body = {**OPERATIONS["register"][2], field: value}
    answer = await lone_user_api.call("POST", "/users", body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert lone_user_api.stored()["users"] == []


async def test_unknown_roles_and_reasons_that_say_nothing_are_refused(lone_user_api: UserApi) -> None:
    caller, target = await people(lone_user_api)
    before = lone_user_api.stored()
    for body, field in (
        ({"role": "root", "reason": "x"}, "role"),
        ({"role": "Admin", "reason": "x"}, "role"),
        ({"role": "admin", "reason": " "}, "reason"),
        ({"role": "admin", "reason": "x" * 281}, "reason"),
        ({"role": "admin", "reason": "two\nlines"}, "reason"),
    ):
        answer = await caller.call("PATCH", f"/users/{target.id}/role", body)
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert lone_user_api.stored() == before


async def test_unknown_paths_and_methods(user_api: UserApi) -> None:
    assert (await user_api.call("GET", "/nothing")).json()["code"] == "route_not_found"
    answer = await user_api.call("PUT", "/users", {})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) >= {"GET", "POST"}
