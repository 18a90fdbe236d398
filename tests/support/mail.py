"""A server that plays the notifier to user_api: it takes orders of messages, or does not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.internal import MessageOrder
from daemons.contracts.names import Language
from daemons.notifier.messages.texts import Texts
from daemons.shared.auth.keys import read_public_keys
from daemons.shared.auth.service_tokens import ServiceTokenVerifier
from tests.support.daemon_keys import PUBLIC_KEYS
from tests.support.waiting import eventually

TEXTS = Texts()


@dataclass
class PlayedNotifier:
    """Takes orders with user_api's token, keeps them in order of arrival, and answers `status`."""

    orders: list[MessageOrder] = field(default_factory=list)
    status: int = 202
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        verifier = ServiceTokenVerifier(
            "notifier", {"user_api": read_public_keys(PUBLIC_KEYS["user_api_public_keys"])}
        )
        try:
            verifier.verify(request.headers.get("Authorization"))
        except UnauthenticatedError:
            return web.Response(status=401)
        order = MessageOrder.model_validate_json(await request.read())
        self.orders.append(order)
        for language in Language:
            # As the notifier does, which refuses what it cannot write.
            TEXTS.write(order.template, language, {"name": order.recipient.name, **order.values})
        return web.Response(status=self.status)

    async def message(self, template: str, email: str, *, count: int = 1) -> MessageOrder:
        """Return the last message of a template to an address, once there are so many."""

        def found() -> list[MessageOrder]:
            return [one for one in self.orders if one.template == template and one.recipient.email == email]

        async def arrived() -> bool:
            return len(found()) >= count

        await eventually(arrived, found=lambda: [(one.template, one.recipient.email) for one in self.orders])
        return found()[-1]

    async def code(self, template: str, email: str, *, count: int = 1) -> str:
        """Return the code in such a message."""
        return (await self.message(template, email, count=count)).values["code"]


@asynccontextmanager
async def played_notifier() -> AsyncIterator[PlayedNotifier]:
    """Run one."""
    notifier = PlayedNotifier()
    app = web.Application()
    app.router.add_post("/internal/messages", notifier.take)
    async with TestServer(app) as server:
        notifier.url = str(server.make_url("/"))
        yield notifier
