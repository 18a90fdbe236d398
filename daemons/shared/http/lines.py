"""Answers to long work: at once as JSON when it is done, or as lines that tell how far it has come.

Who accepts `application/x-ndjson` gets a line of progress at least every second, so that no gateway and no
client takes the silence for a fault, and as the last line the result or the problem. Lines that end without
either were cut.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
from aiohttp import web
from pydantic import BaseModel
from pymongo.errors import PyMongoError

from daemons.contracts.errors import BankError
from daemons.contracts.names import JSON_LINES, REQUEST_ID_HEADER
from daemons.contracts.wire import WireModel
from daemons.shared.http.answers import json_response
from daemons.shared.http.problems import problem_of
from daemons.shared.http.requests import request_id_of
from daemons.shared.mongo import unavailable
from daemons.shared.progress import Progress
from daemons.shared.tasks import end_task

_SECONDS_BETWEEN_LINES = 0.5
_SEND_TIMEOUT_SECONDS = 30.0
_log = structlog.get_logger()

Work = Callable[[Progress], Awaitable[BaseModel]]


class ProgressView(WireModel):
    """How far the work has come; `total` is an estimate."""

    phase: str
    done: int
    total: int


async def answer_long_work(request: web.Request, work: Work) -> web.StreamResponse:
    """Do the work and answer with what it returns, in the form that the caller accepts."""
    if not _accepts_lines(request):
        return json_response(await work(Progress()))
    progress = Progress()
    running = asyncio.create_task(_awaited(work(progress)), name="long-work")
    try:
        await asyncio.wait({running}, timeout=_SECONDS_BETWEEN_LINES)
        if running.done() and running.exception() is not None:
            # Nothing is sent yet, so that it can be answered as any other problem.
            await running
        return await _stream(request, running, progress)
    finally:
        await end_task(running)


async def _stream(
    request: web.Request, running: asyncio.Task[BaseModel], progress: Progress
) -> web.StreamResponse:
    headers = {REQUEST_ID_HEADER: request_id_of(request), "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    response.content_type = JSON_LINES
    await response.prepare(request)
    # A caller who has gone away gets no answer, and the work need not go on.
    with suppress(ConnectionError, TimeoutError):
        while not running.done():
            view = ProgressView(phase=progress.phase, done=progress.done, total=progress.total)
            await _write(response, {"progress": view.model_dump()})
            await asyncio.wait({running}, timeout=_SECONDS_BETWEEN_LINES)
        await _write(response, _last_line(request, running))
        await response.write_eof()
    return response


async def _write(response: web.StreamResponse, line: dict[str, Any]) -> None:
    async with asyncio.timeout(_SEND_TIMEOUT_SECONDS):
        await response.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _last_line(request: web.Request, finished: asyncio.Task[BaseModel]) -> dict[str, Any]:
    fault = finished.exception()
    if fault is None:
        return {"result": finished.result().model_dump(mode="json", by_alias=True)}
    if isinstance(fault, PyMongoError):
        fault = unavailable(fault)
    if not isinstance(fault, BankError):
        request_id = request_id_of(request)
        _log.error("long work failed", request_id=request_id, path=request.path, exc_info=fault)
        fault = BankError(
            "internal", "Something went wrong on our side; nothing more is known to the caller."
        )
    return {"problem": problem_of(fault, request_id=request_id_of(request))}


def _accepts_lines(request: web.Request) -> bool:
    accepted = request.headers.get("Accept", "").split(",")
    return JSON_LINES in {part.partition(";")[0].strip().lower() for part in accepted}


async def _awaited(work: Awaitable[BaseModel]) -> BaseModel:
    return await work
