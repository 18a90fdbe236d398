"""Messages that user_api owes to people; the route is for other daemons only."""

from aiohttp import web

from daemons.contracts.internal import MessageOrder
from daemons.contracts.permissions import Permission
from daemons.notifier.messages.orders import MessageOrders
from daemons.shared.http.requests import read_body
from daemons.shared.http.routes import Routes

routes = Routes("internal")
ORDERS_KEY = web.AppKey("message_orders", MessageOrders)


@routes.add("POST", "/internal/messages", permission=Permission.SERVICE, body=MessageOrder, status=202)
async def order_message(request: web.Request) -> web.Response:
    """Owe a message to somebody, once however often it is ordered."""
    await request.app[ORDERS_KEY].take(await read_body(request, MessageOrder))
    return web.Response(status=202)
