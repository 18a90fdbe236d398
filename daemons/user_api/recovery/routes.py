"""Routes of recovery: a forgotten password, a lost second factor."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.recovery.lost_factor import LostFactor
from daemons.user_api.recovery.models import (
    FactorKept,
    LostFactorReport,
    PasswordReset,
    RemovalView,
    ResetRequest,
)
from daemons.user_api.recovery.service import PasswordReset as Reset

routes = Routes("recovery")
RESET_KEY = web.AppKey("password_reset", Reset)
LOST_FACTOR_KEY = web.AppKey("lost_factor", LostFactor)


@routes.add("POST", "/auth/reset", permission=Permission.PUBLIC, body=ResetRequest, status=204)
async def ask_for_reset(request: web.Request) -> web.Response:
    """Mail a code for a new password; the answer does not reveal whether the address is a user's."""
    body = await read_body(request, ResetRequest)
    await request.app[RESET_KEY].ask(email=body.email, origin=origin_of(request))
    return no_content()


@routes.add("POST", "/auth/reset/confirm", permission=Permission.PUBLIC, body=PasswordReset, status=204)
async def reset_password(request: web.Request) -> web.Response:
    """Set a new password by the code that was mailed; ends all sessions and API keys."""
    body = await read_body(request, PasswordReset)
    await request.app[RESET_KEY].reset(
        email=body.email,
        code=body.code,
        new_password=body.new_password,
        totp=body.totp,
        origin=origin_of(request),
    )
    return no_content()


@routes.add(
    "POST", "/auth/totp/lost", permission=Permission.PUBLIC, body=LostFactorReport, answer=RemovalView
)
async def report_lost_factor(request: web.Request) -> web.Response:
    """Begin to remove a lost second factor, or remove it once the wait is over; its owner can stop it."""
    body = await read_body(request, LostFactorReport)
    removal = await request.app[LOST_FACTOR_KEY].remove(
        email=body.email, password=body.password, origin=origin_of(request)
    )
    return json_response(RemovalView(removable_at=removal.removable_at, removed=removal.removed))


@routes.add("POST", "/auth/totp/keep", permission=Permission.PUBLIC, body=FactorKept, status=204)
async def keep_factor(request: web.Request) -> web.Response:
    """Stop the removal of the second factor by the code that was mailed."""
    body = await read_body(request, FactorKept)
    await request.app[LOST_FACTOR_KEY].keep(email=body.email, code=body.code, origin=origin_of(request))
    return no_content()
