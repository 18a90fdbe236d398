"""Notifications to staff."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.notifier.event_log.models import NotificationPage, view_notification
from daemons.notifier.event_log.queries import NotificationsQuery, place_cursor, read_place_cursor
from daemons.notifier.keys import READER_KEY
from daemons.shared.http.answers import json_response
from daemons.shared.http.requests import read_query
from daemons.shared.http.routes import Routes

routes = Routes("notifications")


@routes.add(
    "GET",
    "/notifications",
    permission=Permission.READ_EVENTS,
    query=NotificationsQuery,
    answer=NotificationPage,
)
async def list_notifications(request: web.Request) -> web.Response:
    """Read notifications page by page, newest first."""
    query = read_query(request, NotificationsQuery)
    found = await request.app[READER_KEY].notifications_before(
        read_place_cursor(query.cursor), severity=query.only, limit=query.limit + 1
    )
    page = found[: query.limit]
    cursor = place_cursor(page[-1][0]) if len(found) > query.limit else None
    items = [view_notification(notification) for _, notification in page]
    return json_response(NotificationPage(items=items, next_cursor=cursor))
