"""Builds a daemon's HTTP application."""

import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import MappingProxyType

from aiohttp import web

from daemons.shared.auth.service_tokens import ServiceTokenVerifier
from daemons.shared.http import health
from daemons.shared.http.boundary import boundary
from daemons.shared.http.openapi import describe
from daemons.shared.http.rates import Monotonic, RateLimits
from daemons.shared.http.routes import ROUTES_KEY, SERVICE_TOKENS_KEY, Route, published, register
from daemons.shared.settings import DaemonSettings

MAXIMUM_BODY_BYTES = 256 * 1024


def build_app(
    daemon: str,
    settings: DaemonSettings,
    *,
    probes: Mapping[str, health.Probe],
    notices: Mapping[str, health.Probe] = MappingProxyType({}),
    routes: Iterable[Iterable[Route]],
    service_tokens: ServiceTokenVerifier | None = None,
    monotonic: Monotonic = time.monotonic,
) -> web.Application:
    """Make the application of one daemon: its routes behind guards, and the routes for its operators.

    The caller sets `AUTHENTICATOR_KEY` before the first request.
    """
    app = web.Application(middlewares=[boundary], client_max_size=MAXIMUM_BODY_BYTES)
    declared: list[Route] = [route for group in routes for route in group]
    app[ROUTES_KEY] = declared
    # Without callers among the other daemons none is let in.
    app[SERVICE_TOKENS_KEY] = service_tokens or ServiceTokenVerifier(daemon, {})
    app[health.PROBES_KEY] = probes
    app[health.NOTICES_KEY] = notices
    register(
        app,
        RateLimits(callers=settings.caller_rate, addresses=settings.address_rate, monotonic=monotonic),
    )
    document = describe(f"bankctl {daemon}", version("bankctl"), published(declared))

    async def openapi(_request: web.Request) -> web.Response:
        return web.json_response(document)

    app.router.add_get("/healthz", health.healthz)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/openapi.json", openapi)
    return app
