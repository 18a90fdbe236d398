"""Long work over HTTP: progress while it lasts, then result or problem, and an end when nobody waits."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pymongo.errors import AutoReconnect

from daemons.contracts.errors import TransientError
from daemons.contracts.names import JSON_LINES
from daemons.contracts.wire import WireModel
from daemons.shared.http import lines
from daemons.shared.http.boundary import boundary
from daemons.shared.http.lines import answer_long_work
from daemons.shared.progress import Progress
from tests.support.waiting import patience

ACCEPT_LINES = {"Accept": f"{JSON_LINES}, application/json;q=0.5"}


class Found(WireModel):
    """A result."""

    figure: int


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_SECONDS_BETWEEN_LINES", 0.01)


@asynccontextmanager
async def serving(work: Callable[[Progress], Awaitable[WireModel]]) -> AsyncIterator[httpx.AsyncClient]:
    app = web.Application(middlewares=[boundary])

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer_long_work(request, work)

    app.router.add_get("/", handle)
    async with TestServer(app) as server, httpx.AsyncClient(base_url=str(server.make_url("/"))) as client:
        yield client


class Work:
    """Tells its progress, waits until it is let go on, and ends as it is told to."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.go_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self, progress: Progress) -> Found:
        progress.enter("journal", total=10)
        progress.done = 4
        try:
            await self.go_on.wait()
            if self.fault is not None:
                raise self.fault
            return Found(figure=7)
        finally:
            self.ended.set()


async def _lines_of(client: httpx.AsyncClient, work: Work) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with client.stream("GET", "/", headers=ACCEPT_LINES) as response:
        assert response.headers["Content-Type"].startswith(JSON_LINES)
        assert response.headers["X-Request-Id"]
        async for line in response.aiter_lines():
            found.append(json.loads(line))
            if len(found) == 3:
                work.go_on.set()
    return found


async def test_progress_comes_while_it_lasts_and_the_result_last() -> None:
    work = Work()
    async with serving(work) as client:
        *before, last = await _lines_of(client, work)
    assert before[:3] == [{"progress": {"phase": "journal", "done": 4, "total": 10}}] * 3
    assert last == {"result": {"figure": 7}}


async def test_who_does_not_ask_for_lines_gets_one_answer() -> None:
    work = Work()
    work.go_on.set()
    async with serving(work) as client:
        for accept in ("application/json", "*/*"):
            answer = await client.get("/", headers={"Accept": accept})
            assert (answer.headers["Content-Type"], answer.json()) == ("application/json", {"figure": 7})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (TransientError("unavailable", "away"), "unavailable"),
        (AutoReconnect("away"), "unavailable"),
        (RuntimeError("a secret"), "internal"),
    ],
)
async def test_a_fault_on_the_way_is_the_last_line_and_says_nothing_more(fault: Exception, code: str) -> None:
    work = Work(fault)
    async with serving(work) as client:
        *before, last = await _lines_of(client, work)
    assert all("progress" in line for line in before)
    assert (last["problem"]["code"], "secret" in str(last)) == (code, False)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (TransientError("unavailable", "away"), 503, "unavailable"),
        (AutoReconnect("a secret"), 503, "unavailable"),
        (RuntimeError("a secret"), 500, "internal"),
    ],
)
@pytest.mark.parametrize("headers", [{}, ACCEPT_LINES])
async def test_a_fault_at_once_is_answered_without_insides(
    fault: Exception, status: int, code: str, headers: dict[str, str]
) -> None:
    work = Work(fault)
    work.go_on.set()
    async with serving(work) as client:
        answer = await client.get("/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert "secret" not in answer.text + str(answer.headers)
    assert "Traceback" not in answer.text


async def test_the_work_ends_when_nobody_waits_for_it() -> None:
    work = Work()
    async with serving(work) as client:
        async with client.stream("GET", "/", headers=ACCEPT_LINES) as response:
            await anext(response.aiter_lines())
        async with patience("the work to end"):
            await work.ended.wait()
    assert not work.go_on.is_set()
