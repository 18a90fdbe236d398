"""Malformed requests: a 4xx that names the fault, and nothing is changed."""

from typing import Any

import pytest

from tests.support.bank import Bank, Person

UUID = "01a2070b-61e3-72e0-ba0b-3153895d3598"


class Ready:
    """Alice with money, an operator, and two accounts to be left alone."""

    def __init__(self, alice: Person, operator: Person, sender: str, receiver: str) -> None:
        self.alice = alice
        self.operator = operator
        self.sender = sender
        self.receiver = receiver

    def transfer(self, **changed: Any) -> dict[str, Any]:
        body = {
            "from_account": self.sender,
            "to_account": self.receiver,
            "amount": "1.00",
            "currency": "EUR",
            **changed,
        }
        return {name: value for name, value in body.items() if value is not ...}


@pytest.fixture
async def ready(bank: Bank) -> Ready:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    sender, receiver = await alice.open_account(), await alice.open_account()
    await operator.fund(sender, "100.00")
    return Ready(alice, operator, sender, receiver)


async def ledger_state(bank: Bank) -> tuple[Any, ...]:
    accounts = [document async for document in bank.ledger["accounts"].find().sort("_id")]
    return accounts, await bank.ledger["journal"].count_documents({})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_account", ...),
        ("to_account", ...),
        ("amount", ...),
        ("currency", ...),
        ("from_account", "1234567890"),
        ("from_account", "12345"),
        ("to_account", "' OR 1=1 --"),
        ("to_account", {"$ne": None}),
        ("to_account", 1000000009),
        ("amount", 12.5),
        ("amount", 12),
        ("amount", True),
        ("amount", None),
        ("amount", "0"),
        ("amount", "-5"),
        ("amount", "1e2"),
        ("amount", "1.001"),
        ("amount", "9" * 400),
        ("currency", "eur"),
        ("currency", "XXX"),
        ("currency", "QQQ"),
        ("currency", ["EUR"]),
        ("reference", "x" * 141),
        ("reference", "line\nbreak"),
        ("reference", "\u202eevil"),
        ("reference", 7),
        ("colour", "blue"),
        ("initiator", UUID),
        ("$where", "1"),
    ],
)
async def test_a_transfer_names_its_faulty_field(bank: Bank, ready: Ready, field: str, value: Any) -> None:
    before = await ledger_state(bank)
    body = ready.transfer(**{field: value})
    answer = await ready.alice.post("/transactions/transfer", body, key="k1")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["code"] == "invalid_request"
    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert await ledger_state(bank) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/accounts", {"type": "gold", "currency": "EUR"}, "type"),
        ("POST", "/accounts", {"type": "checking", "currency": "EURO"}, "currency"),
        ("POST", "/accounts", {"type": "checking", "currency": "XAU"}, "currency"),
        ("POST", "/accounts", {"type": "checking", "currency": "EUR", "name": " "}, "name"),
        ("POST", "/accounts", {"type": "checking", "currency": "EUR", "balance": "5"}, "balance"),
        ("POST", "/accounts", {"type": "checking", "currency": "EUR", "owner_id": UUID}, "owner_id"),
        ("PATCH", "/accounts/{a}/type", {"type": "gold"}, "type"),
        ("PATCH", "/accounts/{a}/type", {}, "type"),
        ("PATCH", "/accounts/{a}/close", {"reason": ""}, "reason"),
        ("PATCH", "/accounts/{a}/freeze", {}, "reason"),
        ("PATCH", "/accounts/{a}/freeze", {"reason": "x" * 281}, "reason"),
        ("PATCH", "/accounts/{a}/unfreeze", {"reason": 5}, "reason"),
        ("POST", "/accounts/{a}/fund", {"amount": "1.00"}, "currency"),
        ("POST", "/accounts/{a}/fund", {"amount": 1, "currency": "EUR"}, "amount"),
        ("POST", "/transactions/preview", {"amount": "1"}, "from_account"),
        ("POST", "/transactions/batch", {"transfers": []}, "transfers"),
        ("POST", "/transactions/batch", {"transfers": [{}] * 501}, "transfers"),
        ("POST", "/transactions/batch", {"transfers": ["x"]}, "transfers.0"),
        ("POST", "/transactions/batch", {}, "transfers"),
        ("GET", "/accounts?limit=0", None, "limit"),
        ("GET", "/accounts?limit=201", None, "limit"),
        ("GET", "/accounts?limit=many", None, "limit"),
        ("GET", "/accounts?limit=1&limit=2", None, "limit"),
        ("GET", "/accounts?colour=blue", None, "colour"),
        ("GET", "/accounts?status=gold", None, "status"),
        ("GET", "/accounts?owner_id=me", None, "owner_id"),
        ("GET", "/transactions?status=gold", None, "status"),
        ("GET", "/transactions?scope=everything", None, "scope"),
        ("GET", "/accounts/{a}/transactions?limit=-1", None, "limit"),
    ],
)
async def test_every_route_names_its_faulty_field(
    bank: Bank, ready: Ready, method: str, path: str, body: Any, field: str
) -> None:
    before = await ledger_state(bank)
    path = path.replace("{a}", ready.sender)
    answer = await ready.operator.call(method, path, body, key="k2")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert field in [fault["field"] for fault in answer.json()["errors"]]
    assert await ledger_state(bank) == before


@pytest.mark.parametrize("cursor", ["!!!", "AAAA", "x" * 150, "AAAAAAAAAAAAAAAAAAAAAAA"])
@pytest.mark.parametrize("path", ["/accounts", "/transactions", "/accounts/{a}/transactions"])
async def test_a_foreign_cursor_is_refused(ready: Ready, path: str, cursor: str) -> None:
    answer = await ready.alice.get(f"{path.replace('{a}', ready.sender)}?cursor={cursor}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("raw", "content_type", "status", "code"),
    [
        (b"", "application/json", 400, "invalid_json"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b"null", "application/json", 400, "invalid_json"),
        (b"\xff", "application/json", 400, "invalid_json"),
        (b'{"amount": NaN}', "application/json", 400, "invalid_json"),
        (b'{"a":1,"a":1}', "application/json", 400, "invalid_json"),
        (b"[" * 50_000, "application/json", 400, "invalid_json"),
        (b'{"a":' + b"1" * 5000 + b"}", "application/json", 400, "invalid_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"a":"' + b"x" * 300_000 + b'"}', "application/json", 413, "payload_too_large"),
    ],
)
async def test_bodies_that_are_no_json_object(
    bank: Bank, ready: Ready, raw: bytes, content_type: str, status: int, code: str
) -> None:
    before = await ledger_state(bank)
    headers = {
        "X-Requested-With": "tests",
        "Content-Type": content_type,
        "Idempotency-Key": "k3",
        **ready.alice.headers,
    }
    url = f"{bank.banking_api}/transactions/transfer"
    answer = await bank.http.post(url, content=raw, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await ledger_state(bank) == before


@pytest.mark.parametrize("id_", ["x", "%00", "..%2f", "1234567890", "settlement:EUR", "a" * 500])
async def test_ids_that_name_nothing_are_not_found(ready: Ready, id_: str) -> None:
    for path in (f"/accounts/{id_}", f"/transactions/{id_}"):
        assert (await ready.alice.get(path)).status_code == 404


async def test_other_paths_and_methods(ready: Ready) -> None:
    missing = await ready.alice.get("/accounts/x/y/z")
    assert (missing.status_code, missing.json()["code"]) == (404, "route_not_found")
    wrong = await ready.alice.call("DELETE", "/accounts")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["Allow"].split(",")) == {"GET", "POST"}


async def test_forged_requests_are_refused(bank: Bank, ready: Ready) -> None:
    before = await ledger_state(bank)
    body = ready.transfer()
    bare = {"Idempotency-Key": "k4", **ready.alice.headers}
    url = f"{bank.banking_api}/transactions/transfer"
    cases = [
        (bare, "csrf_header_missing"),
        ({**bare, "X-Requested-With": "t", "Origin": "https://evil.example"}, "origin_refused"),
        ({**bare, "X-Requested-With": "t", "Sec-Fetch-Site": "cross-site"}, "origin_refused"),
    ]
    for headers, code in cases:
        answer = await bank.http.post(url, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert await ledger_state(bank) == before


async def test_nobody_gets_in_without_a_living_session(bank: Bank, ready: Ready) -> None:
    nobody = bank.nobody()
    for person in (nobody, Person("", "", "", bank.http, bank.user_api, bank.banking_api)):
        answer = await person.get(f"/accounts/{ready.sender}")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert "WWW-Authenticate" in answer.headers
    forged = Person("", "", "", bank.http, bank.user_api, bank.banking_api)
    for token in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
        forged.headers["Cookie"] = f"__Host-bankctl={token}"
        assert (await forged.get("/accounts")).status_code == 401


async def test_answers_carry_the_request_id_and_are_not_cached(ready: Ready) -> None:
    answer = await ready.alice.call("GET", "/accounts/x", **{"X-Request-Id": "trace-7"})
    assert answer.headers["X-Request-Id"] == "trace-7"
    assert answer.json()["request_id"] == "trace-7"
    assert answer.headers["Cache-Control"] == "no-store"
    made = await ready.alice.call("GET", "/accounts", **{"X-Request-Id": "bad id!"})
    assert made.headers["X-Request-Id"] != "bad id!"
