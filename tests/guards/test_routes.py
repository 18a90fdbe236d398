"""Every route of every daemon says who may call it, is described, and is documented."""

import re
from pathlib import Path

import pytest
from aiohttp import web
from openapi_spec_validator import validate

from bankctl.audit_export import CHAINS
from bankctl.client.audit import TRAILS
from bankctl.commands.audit import Trail
from daemons.banking_api.handlers.schemas import ATOMIC_BODY_BYTES
from daemons.contracts.permissions import Permission
from daemons.shared.http.openapi import describe
from daemons.shared.http.routes import ROUTES_KEY
from tests.support.api_reference import applications, codes, reference

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
        assert route.answer is not None or route.status == 204 or route.permission is Permission.SERVICE


def test_only_signing_in_and_which_bank_it_is_are_public() -> None:
    public = {
        (route.method, route.path)
        for app in DAEMONS.values()
        for route in app[ROUTES_KEY]
        if route.permission is Permission.PUBLIC
    }
    signing_in = {("POST", "/users"), ("POST", "/auth/login"), ("POST", "/auth/refresh")}
    assert public == signing_in | {("GET", "/bank")}


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
    assert set(TRAILS) == set(Trail) == set(kept)
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
    assert needing == {"/transactions/transfer", "/accounts/{id}/fund", "/accounts/{id}/adjust"}


def test_the_openapi_document_is_valid(daemon: tuple[str, web.Application]) -> None:
    name, app = daemon
    document = describe(name, "0", app[ROUTES_KEY])
    validate(document)
    operations = [operation for path in document["paths"].values() for operation in path]
    assert len(operations) == len(app[ROUTES_KEY])


def test_the_reference_is_up_to_date() -> None:
    written = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == reference(DAEMONS), "run: python -m tests.support.api_reference > docs/api.md"


def test_codes_are_found_in_the_code() -> None:
    found = codes()
    assert found["insufficient_funds"] == ("rejected", 422)
    assert found["account_frozen"] == ("rejected", 422)
    assert found["account_not_found"] == ("not_found", 404)
    assert found["idempotency_key_missing"] == ("invalid", 400)
