"""What a caller is answered who sends more than the daemon takes from one, by the clock of the test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid5

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemons.contracts.names import SESSION_COOKIE
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.service_tokens import ServiceTokenSigner, ServiceTokenVerifier
from daemons.shared.auth.session_tokens import not_signed_in
from daemons.shared.http.app import build_app
from daemons.shared.http.requests import caller_of
from daemons.shared.http.routes import AUTHENTICATOR_KEY, Routes
from daemons.shared.settings import DaemonSettings

OTHER_DAEMON = Ed25519PrivateKey.generate()
PEOPLE = UUID(int=7)
BURST = 5
routes = Routes("tests")


@routes.add("GET", "/own", permission=Permission.SIGNED_IN, status=204)
async def own(request: web.Request) -> web.Response:
    """Answer who calls."""
    return web.Response(text=caller_of(request).display_name)


@routes.add("POST", "/administration", permission=Permission.MANAGE_USERS, status=204)
async def administration(_request: web.Request) -> web.Response:
    """Answer nobody but an administrator."""
    return web.Response()


@routes.add("POST", "/open", permission=Permission.PUBLIC, status=204)
async def public(_request: web.Request) -> web.Response:
    """Answer everybody."""
    return web.Response()


@routes.add("GET", "/internal/x", permission=Permission.SERVICE, status=204)
async def internal(_request: web.Request) -> web.Response:
    """Answer other daemons."""
    return web.Response()


class KnownByName:
    """Signs in whoever gives a name; a name has a user of its own, `ann-2` is another session of `ann`."""

    async def authenticate(self, token: str) -> Caller:
        if token == "nobody":
            raise not_signed_in()
        name = token.partition("-")[0]
        return Caller(uuid5(PEOPLE, name), uuid5(PEOPLE, f"session {token}"), Role.USER, name)

    async def authenticate_key(self, key: str) -> Caller:
        name = key.removeprefix("bk_").partition("-")[0]
        session_id = uuid5(PEOPLE, f"key {key}")
        return Caller(uuid5(PEOPLE, name), session_id, Role.USER, name, key_digest=key)

    async def renew(self, caller: Caller) -> Caller:
        return caller


class Daemon:
    """A daemon that takes 5 requests at once from one caller and then one every 2 seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.http: httpx.AsyncClient

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Daemon"]:
        settings = DaemonSettings(
            mongo_uri="m",
            port=1,
            caller_requests_per_second=0.5,
            caller_requests_burst=BURST,
            address_requests_per_second=0.5,
            address_requests_burst=BURST,
        )
        app = build_app(
            "tests",
            settings,
            service_tokens=ServiceTokenVerifier("tests", {"other": [OTHER_DAEMON.public_key()]}),
            probes={},
            routes=[routes],
            monotonic=lambda: self.now,
        )
        app[AUTHENTICATOR_KEY] = KnownByName()
        async with (
            TestServer(app, host="127.0.0.1", port=0) as server,
            httpx.AsyncClient() as self.http,
        ):
            self.http.base_url = httpx.URL(str(server.make_url("/")))
            yield self

    async def call(
        self, who: str, path: str = "/own", *, method: str = "GET", address: str = "192.0.2.1"
    ) -> httpx.Response:
        credential = (
            {"Authorization": f"Bearer {who}"}
            if who.startswith("bk_")
            else {"Cookie": f"{SESSION_COOKIE}={who}"}
        )
        headers = {"X-Requested-With": "tests", "X-Forwarded-For": address, **credential}
        return await self.http.request(method, path, headers=headers)

    async def statuses(self, count: int, who: str, path: str = "/own", **how: str) -> list[int]:
        return [(await self.call(who, path, **how)).status_code for _ in range(count)]


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with Daemon().running() as running:
        yield running


async def test_a_burst_gets_429_with_what_a_client_needs_to_go_on(daemon: Daemon) -> None:
    assert await daemon.statuses(BURST, "ann") == [200] * BURST
    refused = await daemon.call("ann")
    assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
    assert refused.headers["Retry-After"] == "2"
    assert refused.headers["RateLimit-Policy"] == '"caller";q=5;w=10'
    assert refused.headers["RateLimit"] == '"caller";r=0;t=2'
    problem = refused.json()
    assert (problem["code"], problem["category"]) == ("rate_limited", "transient")
    assert problem["retry_after_seconds"] == 2
    assert "5 at once and 0.5 a second after that" in problem["detail"]


async def test_the_caller_is_let_in_again_after_what_it_was_told_to_wait(daemon: Daemon) -> None:
    await daemon.statuses(BURST, "ann")
    daemon.now += 1
    refused = await daemon.call("ann")
    assert refused.status_code == 429
    daemon.now += int(refused.headers["Retry-After"])
    assert await daemon.statuses(2, "ann") == [200, 429]
    daemon.now += 60
    assert await daemon.statuses(BURST + 1, "ann") == [200] * BURST + [429]


async def test_one_caller_does_not_slow_another(daemon: Daemon) -> None:
    await daemon.statuses(BURST + 1, "ann")
    # Another user of the same address, and a machine of the same user, have buckets of their own.
    for other in ("bo", "bk_ann-payroll", "bk_ann-reports"):
        assert await daemon.statuses(BURST + 1, other) == [200] * BURST + [429]


async def test_more_sessions_and_other_addresses_do_not_get_more(daemon: Daemon) -> None:
    await daemon.statuses(BURST, "ann")
    assert await daemon.statuses(1, "ann-2") == [429]
    assert await daemon.statuses(1, "ann", address="192.0.2.2") == [429]


async def test_what_is_forbidden_counts_too(daemon: Daemon) -> None:
    found = await daemon.statuses(BURST + 1, "ann", "/administration", method="POST")
    assert found == [403] * BURST + [429]


async def test_who_is_nobody_is_counted_by_address(daemon: Daemon) -> None:
    assert await daemon.statuses(3, "nobody") == [401] * 3
    assert await daemon.statuses(3, "nobody", "/open", method="POST") == [200, 200, 429]
    assert await daemon.statuses(1, "nobody") == [429]
    assert await daemon.statuses(1, "nobody", "/open", method="POST", address="192.0.2.2") == [200]
    # Who has signed in at that address is somebody.
    assert await daemon.statuses(1, "ann") == [200]
    refused = await daemon.call("nobody")
    assert refused.headers["RateLimit-Policy"] == '"address";q=5;w=10'


async def test_operators_and_other_daemons_are_not_counted(daemon: Daemon) -> None:
    header = ServiceTokenSigner("other", OTHER_DAEMON).header_for("tests")
    await daemon.statuses(BURST + 1, "nobody")
    for _ in range(3 * BURST):
        assert (await daemon.http.get("/internal/x", headers=header)).status_code == 200
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await daemon.http.get(path)).status_code == 200
