"""Webhooks: operators add them, look at them, give them new secrets, test and remove them."""

from datetime import timedelta
from uuid import UUID

from aiohttp import web

from daemons.contracts.names import EventType
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import ReasonGiven
from daemons.notifier.webhooks.models import (
    NewWebhook,
    Rotation,
    TestResult,
    WebhookList,
    WebhookView,
    WebhookWithSecret,
)
from daemons.notifier.webhooks.service import Webhooks
from daemons.notifier.webhooks.webhook import webhook_not_found
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import read_body, read_uuid
from daemons.shared.http.routes import Routes

routes = Routes("webhooks")
WEBHOOKS_KEY = web.AppKey("webhooks", Webhooks)
_MANAGE = Permission.MANAGE_WEBHOOKS


@routes.add("GET", "/webhooks", permission=_MANAGE, answer=WebhookList)
async def list_webhooks(request: web.Request) -> web.Response:
    """List webhooks and how they stand, never their secrets."""
    found = await request.app[WEBHOOKS_KEY].all()
    return json_response(WebhookList(items=[WebhookView.of(webhook) for webhook in found]))


@routes.add("POST", "/webhooks", permission=_MANAGE, body=NewWebhook, answer=WebhookWithSecret, status=201)
async def add_webhook(request: web.Request) -> web.Response:
    """Add a webhook; the answer holds its secret, which is shown this once."""
    body = await read_body(request, NewWebhook)
    webhook = await request.app[WEBHOOKS_KEY].add(
        actor_of(request),
        url=body.url,
        types=[EventType(name) for name in body.types],
        reason=body.reason,
    )
    return json_response(WebhookWithSecret.showing_secret(webhook), status=201)


@routes.add("POST", "/webhooks/{id}/rotate", permission=_MANAGE, body=Rotation, answer=WebhookWithSecret)
async def rotate_webhook_secret(request: web.Request) -> web.Response:
    """Give a webhook a new secret; for a while the old one signs as well."""
    webhook_id, body = _webhook_id(request), await read_body(request, Rotation)
    webhook = await request.app[WEBHOOKS_KEY].rotate(
        actor_of(request), webhook_id, overlap=timedelta(hours=body.overlap_hours), reason=body.reason
    )
    return json_response(WebhookWithSecret.showing_secret(webhook))


@routes.add("POST", "/webhooks/{id}/test", permission=_MANAGE, answer=TestResult)
async def test_webhook(request: web.Request) -> web.Response:
    """Send a signed test now; a disabled webhook that takes it is enabled again."""
    tested = await request.app[WEBHOOKS_KEY].test(actor_of(request), _webhook_id(request))
    return json_response(TestResult.of(tested))


@routes.add("POST", "/webhooks/{id}/remove", permission=_MANAGE, body=ReasonGiven, status=204)
async def remove_webhook(request: web.Request) -> web.Response:
    """Remove a webhook and its secrets; what it is still owed is given up."""
    webhook_id, body = _webhook_id(request), await read_body(request, ReasonGiven)
    await request.app[WEBHOOKS_KEY].remove(actor_of(request), webhook_id, reason=body.reason)
    return no_content()


def _webhook_id(request: web.Request) -> UUID:
    return read_uuid(request, "id", missing=webhook_not_found())
