"""Deliveries: listed and shown to support staff, retried by operators."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.notifier.deliveries.models import DeliveriesQuery, DeliveryPage, DeliveryView, view_delivery
from daemons.notifier.deliveries.service import Deliveries, delivery_not_found
from daemons.shared.audit.readings import admit_reading
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import read_query, read_uuid
from daemons.shared.http.routes import Routes

routes = Routes("deliveries")
DELIVERIES_KEY = web.AppKey("deliveries", Deliveries)


@routes.add(
    "GET", "/deliveries", permission=Permission.READ_EVENTS, query=DeliveriesQuery, answer=DeliveryPage
)
async def list_deliveries(request: web.Request) -> web.Response:
    """List deliveries, newest first, or all that one event owed."""
    query, deliveries = read_query(request, DeliveriesQuery), request.app[DELIVERIES_KEY]
    if query.recipient is not None:
        await admit_reading(request, {query.recipient}, what="deliveries")
    if query.event is not None:
        page, cursor = await deliveries.of_event(UUID(query.event)), None
    else:
        page, cursor = await deliveries.page(
            state=query.state,
            channel=query.channel,
            recipient=query.recipient,
            limit=query.limit,
            cursor=query.cursor,
        )
    return json_response(DeliveryPage(items=[view_delivery(one) for one in page], next_cursor=cursor))


@routes.add("GET", "/deliveries/{id}", permission=Permission.READ_EVENTS, answer=DeliveryView)
async def show_delivery(request: web.Request) -> web.Response:
    """Show a delivery: to whom, how often it was tried, and why it did not go out."""
    found = await request.app[DELIVERIES_KEY].fetch(read_uuid(request, "id", missing=delivery_not_found()))
    return json_response(view_delivery(found))


@routes.add("POST", "/deliveries/{id}/retry", permission=Permission.RETRY_DELIVERIES, answer=DeliveryView)
async def retry_delivery(request: web.Request) -> web.Response:
    """Owe again what was given up."""
    delivery_id = read_uuid(request, "id", missing=delivery_not_found())
    return json_response(
        view_delivery(await request.app[DELIVERIES_KEY].retry(actor_of(request), delivery_id))
    )
