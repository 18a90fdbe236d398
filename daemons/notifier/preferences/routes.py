"""Preferences: each user their own; and the page of the link that stops messages."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.notifier.preferences.models import (
    PreferencesChange,
    PreferencesView,
    UnsubscribeQuery,
    view_preferences,
)
from daemons.notifier.preferences.page import asking_page, done_page
from daemons.notifier.preferences.service import UserPreferences
from daemons.shared.http.answers import json_response
from daemons.shared.http.requests import caller_of, read_body, read_query
from daemons.shared.http.routes import Routes

routes = Routes("preferences")
PREFERENCES_KEY = web.AppKey("preferences", UserPreferences)
_PATH = "/notifications/preferences"
_LINK = "/notifications/unsubscribe"


@routes.add("GET", _PATH, permission=Permission.SIGNED_IN, answer=PreferencesView)
async def show_preferences(request: web.Request) -> web.Response:
    """Show what the caller wants to hear of."""
    service = request.app[PREFERENCES_KEY]
    found = await service.of(caller_of(request).user_id)
    return json_response(view_preferences(found, channels=service.channels))


@routes.add(
    "PATCH", _PATH, permission=Permission.MANAGE_OWN_ACCESS, body=PreferencesChange, answer=PreferencesView
)
async def change_preferences(request: web.Request) -> web.Response:
    """Change what the caller wants to hear of; what is not named stays."""
    service = request.app[PREFERENCES_KEY]
    change = await read_body(request, PreferencesChange)
    changed = await service.change(caller_of(request).user_id, change)
    return json_response(view_preferences(changed, channels=service.channels))


@routes.add("GET", _LINK, permission=Permission.PUBLIC, query=UnsubscribeQuery, media_type="text/html")
async def ask_unsubscribe(request: web.Request) -> web.Response:
    """Show the page that a link in a message leads to; it changes nothing."""
    token = read_query(request, UnsubscribeQuery).token
    preferences = await request.app[PREFERENCES_KEY].linked(token)
    return web.Response(text=asking_page(preferences.language, token), content_type="text/html")


@routes.add(
    "POST",
    _LINK,
    permission=Permission.PUBLIC,
    query=UnsubscribeQuery,
    media_type="text/html",
    proves_itself=True,
)
async def unsubscribe(request: web.Request) -> web.Response:
    """Stop the messages over a link's channel, by one click of a mail program (RFC 8058) or on the page."""
    preferences = await request.app[PREFERENCES_KEY].unsubscribe(read_query(request, UnsubscribeQuery).token)
    return web.Response(text=done_page(preferences.language), content_type="text/html")
