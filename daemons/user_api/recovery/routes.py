"""Routes of recovery: a forgotten password."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.recovery.models import PasswordReset, ResetRequest
from daemons.user_api.recovery.service import PasswordReset as Reset

routes = Routes("recovery")
RESET_KEY = web.AppKey("password_reset", Reset)


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
