"""Routes of API keys: make, list, revoke. None of them can be called with a key."""

from datetime import timedelta

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.approvals.routes import ACCEPTED, APPROVALS_KEY
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.api_keys.api_key import api_key_not_found
from daemons.user_api.api_keys.models import ApiKeyList, ApiKeyRequest, ApiKeyView, NewApiKey, WaitingApiKey
from daemons.user_api.api_keys.service import ApiKeys

routes = Routes("API keys")
API_KEYS_KEY = web.AppKey("api_keys", ApiKeys)


@routes.add(
    "POST",
    "/auth/tokens",
    permission=Permission.MANAGE_OWN_ACCESS,
    body=ApiKeyRequest,
    answer=NewApiKey,
    status=201,
    other_answers={ACCEPTED: WaitingApiKey},
)
async def create(request: web.Request) -> web.Response:
    """Create an API key for some of the caller's permissions; one that may approve waits for approval."""
    body = await read_body(request, ApiKeyRequest)
    made = await request.app[API_KEYS_KEY].create(
        caller_of(request),
        password=body.password,
        code=body.totp,
        name=body.name,
        scopes=body.scopes,
        ends=body.expires_at or timedelta(days=body.expires_in_days),
        budget=body.budget,
        origin=origin_of(request),
    )
    key = ApiKeyView.of(made.key)
    if made.waits_for is None:
        return json_response(NewApiKey(key=key, token=made.text), status=201)
    [judged] = await request.app[APPROVALS_KEY].judge([made.waits_for])
    waiting = WaitingApiKey(key=key, token=made.text, approval=ApprovalView.of(judged))
    return json_response(waiting, status=ACCEPTED)


@routes.add("GET", "/auth/tokens", permission=Permission.MANAGE_OWN_ACCESS, answer=ApiKeyList)
async def show_all(request: web.Request) -> web.Response:
    """List the caller's API keys, newest first."""
    keys = await request.app[API_KEYS_KEY].list_of(caller_of(request).user_id)
    return json_response(ApiKeyList(items=[ApiKeyView.of(key) for key in keys]))


@routes.add("DELETE", "/auth/tokens/{id}", permission=Permission.MANAGE_OWN_ACCESS, status=204)
async def revoke(request: web.Request) -> web.Response:
    """Revoke one of the caller's API keys."""
    key_id = read_uuid(request, "id", missing=api_key_not_found())
    await request.app[API_KEYS_KEY].revoke(caller_of(request), key_id, origin=origin_of(request))
    return no_content()
