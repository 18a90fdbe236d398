"""A user's own notices, and the messages that user_api owes to people."""

from aiohttp import web

from daemons.contracts.internal import MessageOrder
from daemons.contracts.permissions import Permission
from daemons.notifier.messages.models import OwedTest, OwnNoticePage, view_own
from daemons.notifier.messages.orders import MessageOrders
from daemons.notifier.messages.own import OwnNotices, TestMessages
from daemons.shared.http.answers import json_response
from daemons.shared.http.pages import PageQuery
from daemons.shared.http.requests import caller_of, read_body, read_query
from daemons.shared.http.routes import Routes

routes = Routes("notifications")
internal_routes = Routes("internal")
ORDERS_KEY = web.AppKey("message_orders", MessageOrders)
OWN_KEY = web.AppKey("own_notices", OwnNotices)
TESTS_KEY = web.AppKey("test_messages", TestMessages)


@routes.add(
    "GET", "/notifications/own", permission=Permission.SIGNED_IN, query=PageQuery, answer=OwnNoticePage
)
async def list_own_notices(request: web.Request) -> web.Response:
    """Read what the caller was told, page by page, newest first."""
    query, caller = read_query(request, PageQuery), caller_of(request)
    page, cursor = await request.app[OWN_KEY].page(
        caller.user_id, name=caller.display_name, limit=query.limit, cursor=query.cursor
    )
    return json_response(OwnNoticePage(items=[view_own(one) for one in page], next_cursor=cursor))


@routes.add(
    "POST", "/notifications/test", permission=Permission.MANAGE_OWN_ACCESS, answer=OwedTest, status=202
)
async def send_test_message(request: web.Request) -> web.Response:
    """Owe the caller a message by which they see how messages reach them."""
    owed = await request.app[TESTS_KEY].owe(caller_of(request).user_id)
    return json_response(OwedTest(delivery_id=str(owed.id), channel=owed.owed.channel), status=202)


@internal_routes.add(
    "POST", "/internal/messages", permission=Permission.SERVICE, body=MessageOrder, status=202
)
async def order_message(request: web.Request) -> web.Response:
    """Owe a message to somebody, once however often it is ordered."""
    await request.app[ORDERS_KEY].take(await read_body(request, MessageOrder))
    return web.Response(status=202)
