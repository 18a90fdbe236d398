"""Notifications to staff."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.notifier.notifications.models import NotificationPage, NotificationsQuery, view_notification
from daemons.notifier.notifications.service import Notifications
from daemons.shared.audit.readings import EVERYBODY, admit_reading
from daemons.shared.http.answers import json_response
from daemons.shared.http.requests import read_query
from daemons.shared.http.routes import Routes

routes = Routes("notifications")
NOTIFICATIONS_KEY = web.AppKey("notifications", Notifications)


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
    await admit_reading(request, {EVERYBODY}, what="notifications")
    page, cursor = await request.app[NOTIFICATIONS_KEY].page(
        severity=query.only, limit=query.limit, cursor=query.cursor
    )
    return json_response(NotificationPage(items=[view_notification(one) for one in page], next_cursor=cursor))
