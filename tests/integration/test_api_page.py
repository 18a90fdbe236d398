"""The page at `/docs` and the document it shows, as a real gateway serves them; no daemon is needed."""

import json
import re
from collections.abc import Iterator

import pytest

from bankctl.local.gateway import API_DOCS, find_swagger_ui
from tests.support.edge import Answer, Gateway, Place, running_gateway

STRICT = "default-src 'none'; frame-ancestors 'none'"
LOADED = {
    "/docs/docs.js": API_DOCS / "docs.js",
    "/docs/swagger-ui-bundle.js": find_swagger_ui() / "swagger-ui-bundle.js",
    "/docs/swagger-ui.css": find_swagger_ui() / "swagger-ui.css",
    "/docs/favicon-32x32.png": find_swagger_ui() / "favicon-32x32.png",
}
"""What the page loads, and the files that it is."""
MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), {}) as gateway:
        yield gateway


def ask(gateway: Gateway, line: str, *headers: str) -> Answer:
    place = Place(gateway.port, gateway.certificate)
    [answer] = place.exchange(place.request(line, *headers, "Connection: close"))
    return answer


def policy(answer: Answer) -> dict[str, set[str]]:
    directives = (one.split() for one in answer.headers["content-security-policy"].split(";"))
    return {name: set(sources) for name, *sources in directives}


def test_the_page_admits_its_own_origin_and_images_as_data(gateway: Gateway) -> None:
    answer = ask(gateway, "GET /docs")

    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body == (API_DOCS / "docs.html").read_bytes()
    assert policy(answer) == {
        "default-src": {"'none'"},
        "script-src": {"'self'"},
        "style-src": {"'self'"},
        "img-src": {"'self'", "data:"},
        "connect-src": {"'self'"},
        "base-uri": {"'none'"},
        "form-action": {"'none'"},
        "frame-ancestors": {"'none'"},
    }
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_names_no_file_but_packaged_ones_and_has_no_script_of_its_own(gateway: Gateway) -> None:
    page = ask(gateway, "GET /docs").body.decode()

    named = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {f"/{name}" for name in named} == {*LOADED, "/openapi.json"}
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|javascript:", page) == []


@pytest.mark.parametrize("path", LOADED)
def test_what_the_page_loads_is_the_packaged_file(gateway: Gateway, path: str) -> None:
    answer = ask(gateway, f"GET {path}")

    assert (answer.status, answer.body) == (200, LOADED[path].read_bytes())
    assert answer.headers["content-type"] == MEDIA_TYPES[LOADED[path].suffix]
    assert answer.headers["content-security-policy"] == STRICT


def test_no_style_fetches_anything() -> None:
    style = LOADED["/docs/swagger-ui.css"].read_text(encoding="utf-8")

    assert re.findall(r"@import", style) == []
    assert {found[:5] for found in re.findall(r"url\([\"']?(.{5})", style)} == {"data:"}


def test_the_page_asks_no_validator_elsewhere() -> None:
    assert "validatorUrl: null" in LOADED["/docs/docs.js"].read_text(encoding="utf-8")
    assert "://" not in LOADED["/docs/docs.js"].read_text(encoding="utf-8")


def test_the_document_is_the_one_in_the_package(gateway: Gateway) -> None:
    answer = ask(gateway, "GET /openapi.json")

    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.body == (API_DOCS / "openapi.json").read_bytes()
    assert json.loads(answer.body)["openapi"].startswith("3.1.")
    assert answer.headers["content-security-policy"] == STRICT


def test_a_file_that_has_not_changed_is_not_sent_again(gateway: Gateway) -> None:
    first = ask(gateway, "GET /docs/swagger-ui-bundle.js")
    assert first.headers["cache-control"] == "no-cache"

    again = ask(gateway, "GET /docs/swagger-ui-bundle.js", f"If-None-Match: {first.headers['etag']}")

    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "line",
    [
        "GET /docs/",
        "GET /docs?url=https://elsewhere.example/openapi.json",
        "GET /docs.html",
        "GET /docs.js",
        "GET /docs/docs.html",
        "GET /docs/openapi.json",
        "GET /docs/openapi.json/../docs.js",
        "GET /docs/../docs",
        "GET /docs/%2e%2e/docs.js",
        "GET /docs/swagger-ui.js",
        "GET /docs/VERSION",
        "GET /DOCS",
        "GET /swagger-ui-bundle.js",
        "POST /docs",
        "POST /docs/docs.js",
        "DELETE /openapi.json",
    ],
)
def test_nothing_else_is_there_and_has_the_strict_policy(gateway: Gateway, line: str) -> None:
    answer = ask(gateway, line)

    assert (answer.status, json.loads(answer.body)["code"]) == (404, "route_not_found")
    assert answer.headers["content-security-policy"] == STRICT


@pytest.mark.parametrize(("path", "status"), [("/bank", 503), ("/accounts", 503), ("/nothing", 404)])
def test_every_other_address_has_the_strict_policy(gateway: Gateway, path: str, status: int) -> None:
    answer = ask(gateway, f"GET {path}")

    assert answer.status == status
    assert answer.headers["content-security-policy"] == STRICT
