"""Ids and paths of requests mean the same at the gateway and behind it."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.edge import Daemon, Gateway, Place, running_daemon, running_gateway

VALID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with running_daemon() as daemon:
        yield daemon


@pytest.fixture(scope="module")
def gateway(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    # Whatever a path leads to, it is this daemon that sees it.
    ports = {"banking_api": daemon.port, "user_api": daemon.port, "notifier": daemon.port}
    with running_gateway(tmp_path_factory.mktemp("gateway"), ports) as gateway:
        yield gateway


@pytest.fixture(params=["gateway", "daemon"])
def place(request: pytest.FixtureRequest, daemon: Daemon, gateway: Gateway) -> Place:
    daemon.seen.clear()
    daemon.headers.clear()
    if request.param == "daemon":
        return Place(daemon.port)
    return Place(gateway.port, gateway.certificate)


@pytest.fixture
def outside(daemon: Daemon, gateway: Gateway) -> Place:
    daemon.seen.clear()
    daemon.headers.clear()
    return Place(gateway.port, gateway.certificate)


@pytest.mark.parametrize("path", ["/accounts/x", "/nothing"])
def test_a_valid_request_id_is_kept(place: Place, path: str) -> None:
    sent = place.request(f"GET {path}", "X-Request-Id: order-7.a_B", "Connection: close")

    [answer] = place.exchange(sent)

    assert answer.headers["x-request-id"] == "order-7.a_B"
    assert json.loads(answer.body)["request_id"] == "order-7.a_B"


@pytest.mark.parametrize(
    "headers",
    [
        ["X-Request-Id: one", "X-Request-Id: two"],
        ["X-Request-Id: one", 'X-Request-Id: two","code":"done'],
        ['X-Request-Id: two","code":"done', "X-Request-Id: one"],
        ["X-Request-Id: one", "x-request-id: two"],
        ["X-Request-Id: one, two"],
        ['X-Request-Id: x","code":"done'],
        ["X-Request-Id: x\\"],
        ["X-Request-Id: \xe2\x80\xa8"],
        ["X-Request-Id: x\ty"],
        ["X-Request-Id: {http.request.host}"],
        ["X-Request-Id: {env.PATH}"],
        ["X-Request-Id: " + "x" * 65],
        ["X-Request-Id: "],
    ],
)
@pytest.mark.parametrize("path", ["/accounts/x", "/nothing", "//x"])
def test_any_other_request_id_gets_a_fresh_one(
    place: Place, daemon: Daemon, headers: list[str], path: str
) -> None:
    [answer] = place.exchange(place.request(f"GET {path}", *headers, "Connection: close"))

    shown = answer.headers["x-request-id"]
    assert VALID.fullmatch(shown)
    assert shown not in {"one", "two"}
    if place.certificate is not None or path != "/accounts/x":
        assert json.loads(answer.body)["request_id"] == shown
    if place.certificate is not None and daemon.headers:
        arrived = [value for name, value in daemon.headers[0].items() if name.lower() == "x-request-id"]
        assert arrived == [shown]


def test_bytes_that_end_a_line_are_no_part_of_a_request_id(place: Place, daemon: Daemon) -> None:
    for end in ("\x00", "\x1b[31m", "\x7f"):
        answers = place.exchange(
            place.request("GET /accounts/x", f"X-Request-Id: x{end}y", "Connection: close")
        )
        assert [VALID.fullmatch(one.headers.get("x-request-id", "x")) is None for one in answers] == [False]
        assert all(end.encode() not in one.body for one in answers)


def test_of_two_authorizations_none_comes_through(outside: Place, daemon: Daemon) -> None:
    key, forged = "Authorization: Bearer bk_" + "k" * 43, "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"
    for headers in ([key, forged], [forged, key]):
        outside.exchange(outside.request("GET /accounts/x", *headers, "Connection: close"))
    assert len(daemon.headers) == 2
    assert not [name for one in daemon.headers for name in one if name.lower() == "authorization"]


def test_no_client_says_which_headers_end_at_the_gateway(outside: Place, daemon: Daemon) -> None:
    named = "Connection: close, X-Request-Id, Cookie, X-Requested-With, X-Forwarded-For"
    outside.exchange(outside.request("GET /accounts/x", named, "Cookie: a=b", "X-Request-Id: mine"))
    arrived = {name.lower(): value for name, value in daemon.headers[0].items()}
    assert (arrived["cookie"], arrived["x-request-id"]) == ("a=b", "mine")
    assert (arrived["x-requested-with"], arrived["x-forwarded-for"]) == ("tests", "127.0.0.1")


INTERNAL = [
    "/internal/keys",
    "//internal/keys",
    "/./internal/keys",
    "/accounts/../internal/keys",
    "/accounts/x/../../internal/keys",
    "/accounts/..;/internal/keys",
    "/accounts/%2e%2e/internal/keys",
    "/accounts/%2E%2E%2Finternal%2Fkeys",
    "/accounts/..%2finternal/keys",
    "/accounts/..%5cinternal/keys",
    "/accounts/..\\internal/keys",
    "/accounts/%252e%252e/internal/keys",
    "/%69nternal/keys",
    "/accounts%2f..%2finternal%2fkeys",
    "/accounts/x;/../internal/keys",
    "/accounts;/internal/keys",
    "/accounts/x//keys",
    "/accounts/x/",
    "/accounts/x/.",
    "/accounts/%00",
    "/accounts/%78",
    "/accounts/x%0d%0aX:y",
    "/accounts#/x",
    "/accounts/x#y",
    "/internal/keys#/accounts/x",
    "/INTERNAL/keys",
    "/ACCOUNTS/x",
    "/Accounts/x",
    "/accountsx",
    "/healthz",
    "/readyz",
    "/metrics",
    "/OPENAPI.json",
    "/openapi.json/../internal/keys",
    "/docs/../internal/keys",
    "/docs/%2e%2e/internal/keys",
    "/docs#/../internal/keys",
    "/openapi/USER_API.json",
    "/openapi/user_api.json/../../internal/keys",
    "accounts/x",
    "*",
    "http://localhost/internal/keys",
    "http://localhost/accounts/x",
]


@pytest.mark.parametrize("path", INTERNAL)
def test_a_path_that_could_be_read_in_two_ways_reaches_no_daemon(
    outside: Place, daemon: Daemon, path: str
) -> None:
    [answer] = outside.exchange(outside.request(f"GET {path}", "Connection: close"))

    assert answer.status in {400, 404}
    assert daemon.seen == []


@pytest.mark.parametrize("path", ["/accounts/x", "/accounts/x?a=%2e%2e%2f&b=//../;", "/accounts/x-1.y_z~"])
def test_a_plain_path_arrives_as_it_was_sent(outside: Place, daemon: Daemon, path: str) -> None:
    [answer] = outside.exchange(outside.request(f"GET {path}", "Connection: close"))

    assert answer.status == 200
    assert daemon.seen == [path]


@pytest.mark.parametrize(
    "line",
    ["CONNECT localhost:443", "TRACE /accounts/x", "PRI *", "GET /accounts/x /internal/keys", "G\x00T /"],
)
def test_odd_methods_reach_no_route(outside: Place, daemon: Daemon, line: str) -> None:
    answers = outside.exchange(outside.request(line, "Connection: close"))

    assert [answer for answer in answers if answer.status < 400] == []
    assert daemon.seen == []
