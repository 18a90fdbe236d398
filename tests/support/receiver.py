"""A program elsewhere that takes webhooks, as docs/webhooks.md tells, and does with them as a test says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook, WebhookVerificationError

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def takes(_request: web.Request) -> web.StreamResponse:
    """Answer that it is taken."""
    return web.Response(status=204)


@dataclass
class Receiver:
    """What came, and how it is answered."""

    answer: Answer = takes
    url: str = ""
    port: int = 0
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.paths.append(request.path)
        self.came.append((dict(request.headers), await request.read()))
        return await self.answer(request)

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, in the order in which they came."""
        return [headers["webhook-id"] for headers, _ in self.came]

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.came]

    def verifies(self, secret: str, place: int = -1) -> bool:
        """Whether a message is signed with this secret."""
        headers, body = self.came[place]
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True


@asynccontextmanager
async def receiving(answer: Answer = takes) -> AsyncIterator[Receiver]:
    """Run a receiver on this machine."""
    receiver = Receiver(answer)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.take)
    async with TestServer(app, host="127.0.0.1") as server:
        receiver.url, receiver.port = str(server.make_url("/hook")), server.port or 0
        yield receiver
