"""Routes of signing in, and of the own password."""

from aiohttp import web

from daemons.contracts.names import DEVICE_COOKIE
from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_body
from daemons.shared.http.routes import Routes
from daemons.user_api.sessions.models import SignedIn
from daemons.user_api.sessions.routes import answer_signed_in
from daemons.user_api.sign_in.models import Credentials, PasswordChange
from daemons.user_api.sign_in.service import PasswordChange as Change
from daemons.user_api.sign_in.service import SignIn

routes = Routes("sign-in")
SIGN_IN_KEY = web.AppKey("sign_in", SignIn)
PASSWORD_CHANGE_KEY = web.AppKey("password_change", Change)
_DEVICE_LENGTH = 120


@routes.add("POST", "/auth/login", permission=Permission.PUBLIC, body=Credentials, answer=SignedIn)
async def login(request: web.Request) -> web.Response:
    """Sign in; the session's tokens are set as cookies."""
    body = await read_body(request, Credentials)
    tokens = await request.app[SIGN_IN_KEY].sign_in(
        email=body.email,
        password=body.password,
        totp=body.totp,
        origin=origin_of(request),
        device=_device_of(request),
        device_token=request.cookies.get(DEVICE_COOKIE),
    )
    return answer_signed_in(request, tokens)


@routes.add(
    "POST",
    "/auth/change-password",
    permission=Permission.CHANGE_OWN_PASSWORD,
    body=PasswordChange,
    status=204,
)
async def replace_password(request: web.Request) -> web.Response:
    """Change the caller's password; ends API keys, and other sessions unless they are kept."""
    body = await read_body(request, PasswordChange)
    await request.app[PASSWORD_CHANGE_KEY].change(
        caller_of(request),
        current=body.current_password,
        new=body.new_password,
        end_other_sessions=body.end_other_sessions,
        origin=origin_of(request),
    )
    return no_content()


def _device_of(request: web.Request) -> str:
    """Return the User-Agent cut to 120 characters, without what could drive a terminal."""
    agent = request.headers.get("User-Agent", "")
    printable = "".join(character for character in agent if character.isprintable())
    return printable[:_DEVICE_LENGTH].strip() or "unknown"
