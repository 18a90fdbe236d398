"""Every route of every daemon says who may call it, is described, and is documented."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openapi_spec_validator import validate
from pydantic import BaseModel, create_model

from bankctl.audit_export import CHAINS
from daemons.banking_api.transactions.models import ATOMIC_BODY_BYTES
from daemons.contracts.names import Trail
from daemons.contracts.permissions import Permission
from daemons.shared.http.openapi import NamesCollideError, describe
from daemons.shared.http.routes import ROUTES_KEY, Routes
from tests.support.api_reference import (
    API_REFERENCE,
    OPENAPI_DOCUMENT,
    applications,
    codes,
    document,
    reference,
)

OPERATORS_OWN = {"/healthz", "/readyz", "/metrics", "/openapi.json"}
DAEMONS = applications()


@pytest.fixture(params=DAEMONS)
def daemon(request: pytest.FixtureRequest) -> tuple[str, web.Application]:
    return request.param, DAEMONS[request.param]


def test_no_route_is_registered_past_the_guards(daemon: tuple[str, web.Application]) -> None:
    _, app = daemon
    declared = {(route.method, route.path) for route in app[ROUTES_KEY]}
    for found in app.router.routes():
        assert found.resource is not None
        path = found.resource.canonical
        if path in OPERATORS_OWN:
            assert found.method in {"GET", "HEAD"}
        else:
            assert (found.method, path) in declared
            assert found.handler.__qualname__ == "_guarded.<locals>.guarded"


def test_every_route_says_who_may_call_it_and_what_it_does(daemon: tuple[str, web.Application]) -> None:
    _, app = daemon
    for route in app[ROUTES_KEY]:
        assert isinstance(route.permission, Permission), route.path
        assert route.summary.endswith((".", ":")), f"{route.method} {route.path} has no summary"
        says_nothing = route.status == 204 or route.permission is Permission.SERVICE
        assert route.answer is not None or says_nothing or route.media_type == "text/html"


def test_only_getting_in_and_which_bank_it_is_are_public() -> None:
    public = {
        (route.method, route.path)
        for app in DAEMONS.values()
        for route in app[ROUTES_KEY]
        if route.permission is Permission.PUBLIC
    }
    getting_in = {
        *("/users", "/users/confirm", "/auth/login", "/auth/refresh"),
        *("/auth/reset", "/auth/reset/confirm", "/auth/undo", "/auth/totp/lost", "/auth/totp/keep"),
    }
    which_bank = {("GET", "/bank"), ("GET", "/ledger/checkpoint-keys")}
    # The token in a link says who asks; it is good for nothing else.
    links = ("/notifications/unsubscribe", "/auth/mailed-link")
    signed_links = {(method, path) for method in ("GET", "POST") for path in links}
    assert public == {("POST", path) for path in getting_in} | signed_links | which_bank


def test_the_gateway_leads_every_route_to_its_daemon_and_internal_ones_nowhere() -> None:
    routes = (Path(__file__).parents[2] / "bankctl" / "local" / "routes.caddy").read_text(encoding="utf-8")
    matchers = dict(
        re.findall(r"^\s*@(\w+) vars_regexp {http.request.orig_uri} (\^/.*)$", routes, re.MULTILINE)
    )
    for daemon, app in DAEMONS.items():
        for route in app[ROUTES_KEY]:
            path = re.sub(r"{\w+}", "x", route.path)
            led_to = {
                "notifier" if name == "stream" else name
                for name, pattern in matchers.items()
                if re.search(pattern, path)
            }
            assert led_to == (set() if path.startswith("/internal/") else {daemon}), route.path


def test_the_gateway_lets_through_the_largest_body_that_a_route_takes() -> None:
    routes = (Path(__file__).parents[2] / "bankctl" / "local" / "routes.caddy").read_text(encoding="utf-8")
    sizes = [int(size) * 1024**2 for size in re.findall(r"max_size (\d+)MiB", routes)]
    sizes += [int(size) for size in re.findall(r"Content-Length}\) > (\d+)", routes)]
    taken = [route.maximum_body_bytes or 0 for app in DAEMONS.values() for route in app[ROUTES_KEY]]
    assert max(sizes) >= max(taken) == ATOMIC_BODY_BYTES


def test_every_daemon_keeps_a_trail_and_the_command_line_knows_them_all() -> None:
    kept = {
        route.path.split("/")[2]: name
        for name, app in DAEMONS.items()
        for route in app[ROUTES_KEY]
        if route.path.startswith("/audit/")
    }
    assert set(kept.values()) == set(DAEMONS)
    assert set(Trail) == set(kept)
    assert kept == CHAINS


def test_internal_routes_are_for_services_and_no_others() -> None:
    for app in DAEMONS.values():
        for route in app[ROUTES_KEY]:
            internal = route.path.startswith("/internal/")
            assert internal == (route.permission is Permission.SERVICE), route.path


def test_routes_that_move_money_need_an_idempotency_key() -> None:
    needing = {
        route.path
        for route in DAEMONS["banking_api"][ROUTES_KEY]
        if route.idempotency_key.value == "required"
    }
    assert needing == {
        "/transactions/transfer",
        "/transactions/withdraw",
        "/transactions/{id}/reverse",
        "/accounts/{id}/fund",
        "/accounts/{id}/withdraw",
        "/accounts/{id}/adjust",
    }


def operations(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """What a document describes, by path and method."""
    return {(path, method): found for path, of in document["paths"].items() for method, found in of.items()}


def test_a_daemon_s_own_document_is_valid(daemon: tuple[str, web.Application]) -> None:
    name, app = daemon
    document = describe(name, "0", app[ROUTES_KEY])
    validate(document)
    assert len(operations(document)) == len(app[ROUTES_KEY])


def test_the_bank_s_document_is_valid_and_has_every_route_that_is_not_internal() -> None:
    described = json.loads(document(DAEMONS))
    validate(described)
    public = {
        (route.path, route.method.lower())
        for app in DAEMONS.values()
        for route in app[ROUTES_KEY]
        if not route.path.startswith("/internal/")
    }
    assert operations(described).keys() == public
    assert "/internal/" not in json.dumps(described["paths"])
    names = [operation["operationId"] for operation in operations(described).values()]
    assert len(set(names)) == len(names) == len(public)


def test_every_reference_of_the_bank_s_document_leads_somewhere_and_every_schema_is_used() -> None:
    text = document(DAEMONS)
    described = json.loads(text)
    kinds: dict[str, set[str]] = {"schemas": set(), "responses": set()}
    for kind, name in re.findall(r'"\$ref": "#/components/(\w+)/(\w+)"', text):
        kinds[kind].add(name)
    assert text.count('"$ref"') == len(re.findall(r'"\$ref": "#/components/\w+/\w+"', text))
    assert kinds == {kind: set(described["components"][kind]) for kind in kinds}


def test_the_bank_s_document_tells_how_callers_prove_themselves() -> None:
    described = json.loads(document(DAEMONS))
    assert set(described["components"]["securitySchemes"]) == {"session", "api_key"}
    everything = operations(described)
    assert everything["/auth/login", "post"]["security"] == []
    assert everything["/transactions/transfer", "post"]["security"] == [{"session": []}, {"api_key": []}]
    assert everything["/auth/tokens", "post"]["security"] == [{"session": []}]
    for (path, method), operation in everything.items():
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
        headers = {one["name"]: one["required"] for one in operation["parameters"] if one["in"] == "header"}
        assert headers.get("X-Requested-With", False) == (method != "get"), path


def test_limits_of_a_query_stand_in_the_document() -> None:
    [limit, cursor, *_] = operations(json.loads(document(DAEMONS)))["/accounts", "get"]["parameters"]
    assert limit["schema"] == {
        "default": 50,
        "minimum": 1,
        "maximum": 200,
        "title": "Limit",
        "type": "integer",
    }
    assert cursor["schema"] == {"maxLength": 200, "title": "Cursor", "type": "string"}


def test_names_that_collide_are_refused() -> None:
    one, other = Routes("things"), Routes("things")

    async def show(request: web.Request) -> web.Response:
        """Show it."""
        return web.Response()

    def declare(routes: Routes, path: str, answer: type[BaseModel]) -> None:
        routes.add("GET", path, permission=Permission.PUBLIC, answer=answer)(show)

    declare(one, "/one", create_model("Thing", size=(int, ...)))
    declare(other, "/other", create_model("Item", size=(int, ...)))
    with pytest.raises(NamesCollideError, match="operations have the same name: show"):
        describe("both", "0", [*one, *other])

    apart = Routes("things", area="more")
    declare(apart, "/apart", create_model("Thing", size=(str, ...)))
    with pytest.raises(NamesCollideError, match="models have the same name: Thing"):
        describe("both", "0", [*one, *apart])

    alike = Routes("things", area="more")
    declare(alike, "/alike", create_model("Thing", size=(int, ...)))
    assert len(operations(describe("both", "0", [*one, *alike]))) == 2


@pytest.mark.parametrize(("file", "made"), [(API_REFERENCE, reference), (OPENAPI_DOCUMENT, document)])
def test_the_reference_is_up_to_date(file: Path, made: Callable[[dict[str, web.Application]], str]) -> None:
    assert file.read_text(encoding="utf-8") == made(DAEMONS), "run: make docs"


def test_codes_are_found_in_the_code() -> None:
    found = codes()
    assert found["insufficient_funds"] == ("rejected", 422)
    assert found["account_frozen"] == ("rejected", 422)
    assert found["account_not_found"] == ("not_found", 404)
    assert found["idempotency_key_missing"] == ("invalid", 400)
