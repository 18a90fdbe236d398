"""The routes for those who run a daemon: alive, ready, metrics. The gateway routes none of them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import prometheus_client
from aiohttp import web

Probe = Callable[[], Awaitable[str | None]]
"""Returns None when the dependency answers, else a sentence that says what is wrong."""

PROBES_KEY = web.AppKey("probes", Mapping[str, Probe])
NOTICES_KEY = web.AppKey("notices", Mapping[str, Probe])
"""What a daemon reports although it is ready: work that waits."""
_PROBE_TIMEOUT_SECONDS = 3


async def healthz(_request: web.Request) -> web.Response:
    """Answer that the process runs its event loop."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Answer 200 when every dependency answers, else 503 with each reason; notices come with either."""
    probes, tellers = request.app[PROBES_KEY], request.app[NOTICES_KEY]
    reasons, notices = await _reasons(probes), await _reasons(tellers)
    shown = {"notices": notices} if notices else {}
    if reasons:
        return web.json_response({"status": "not ready", "reasons": reasons, **shown}, status=503)
    return web.json_response({"status": "ready", **shown})


async def metrics(_request: web.Request) -> web.Response:
    """Answer in the text format of Prometheus."""
    return web.Response(
        body=prometheus_client.generate_latest(),
        headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
    )


async def _reasons(probes: Mapping[str, Probe]) -> dict[str, str]:
    found = await asyncio.gather(*(_reason(probe) for probe in probes.values()))
    return {name: reason for name, reason in zip(probes, found, strict=True) if reason}


async def _reason(probe: Probe) -> str | None:
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_SECONDS):
            return await probe()
    except TimeoutError:
        return f"no answer within {_PROBE_TIMEOUT_SECONDS} s"
    except Exception as error:  # noqa: BLE001 - a probe reports every fault as a reason, it never fails itself
        return type(error).__name__
