"""Routes of signing in and out, sessions and the own password."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.auth.session_tokens import DEVICE_COOKIE, REFRESH_COOKIE, not_signed_in, session_ended
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.requests import caller_of, read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.keys import parts_of
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.cookies import clear_session_cookies, set_session_cookies
from daemons.user_api.sessions.end_session import end_all_sessions, end_session, list_sessions
from daemons.user_api.sessions.service import refresh_session
from daemons.user_api.sessions.session import Session, handle_of, session_not_found
from daemons.user_api.sessions.tokens import SignIn
from daemons.user_api.sessions.verify import scopes_of, verify_session
from daemons.user_api.sign_in.change_password import change_password
from daemons.user_api.sign_in.origin import device_of, origin_of
from daemons.user_api.sign_in.service import sign_in
from daemons.user_api.users.models import (
    Credentials,
    FactorState,
    PasswordChange,
    SessionEnding,
    SessionList,
    SessionView,
    SignedIn,
    UserView,
)
from daemons.user_api.users.user import User

routes = Routes("sessions")


@routes.add("POST", "/auth/login", permission=Permission.PUBLIC, body=Credentials, answer=SignedIn)
async def login(request: web.Request) -> web.Response:
    """Sign in; the session's tokens are set as cookies."""
    body = await read_body(request, Credentials)
    parts = parts_of(request)
    done = await sign_in(
        parts,
        email=body.email,
        password=body.password,
        totp=body.totp,
        origin=origin_of(request),
        device=device_of(request),
        device_token=request.cookies.get(DEVICE_COOKIE),
    )
    return _signed_in(parts, done)


@routes.add("POST", "/auth/refresh", permission=Permission.PUBLIC, answer=SignedIn)
async def refresh(request: web.Request) -> web.Response:
    """Continue the session: exchange the refresh token for new tokens; each works for one exchange."""
    token = request.cookies.get(REFRESH_COOKIE)
    if not token:
        raise not_signed_in()
    parts = parts_of(request)
    return _signed_in(parts, await refresh_session(parts, token, origin=origin_of(request)))


@routes.add("POST", "/auth/logout", permission=Permission.USE_OWN_SESSION, status=204)
async def logout(request: web.Request) -> web.Response:
    """Sign out: end this session."""
    caller = caller_of(request)
    await end_session(parts_of(request), caller, handle_of(caller.session_id), origin=origin_of(request))
    response = no_content()
    clear_session_cookies(response)
    return response


@routes.add("GET", "/auth/session", permission=Permission.USE_OWN_SESSION, answer=SignedIn)
async def show_session(request: web.Request) -> web.Response:
    """Show the signed-in user and the session."""
    parts = parts_of(request)
    found = await verify_session(parts, caller_of(request).session_id)
    if found is None:
        raise session_ended()
    session, user = found
    return json_response(_view(parts, user, session))


@routes.add("GET", "/auth/sessions", permission=Permission.MANAGE_OWN_ACCESS, answer=SessionList)
async def show_sessions(request: web.Request) -> web.Response:
    """List the caller's sessions, newest first."""
    caller = caller_of(request)
    sessions = await list_sessions(parts_of(request), user_id=caller.user_id)
    return json_response(SessionList.of(sessions, caller))


@routes.add(
    "DELETE", "/auth/sessions", permission=Permission.MANAGE_OWN_ACCESS, query=SessionEnding, status=204
)
async def revoke_all_sessions(request: web.Request) -> web.Response:
    """End all of the caller's sessions, or all others, and all of the caller's API keys."""
    caller, query = caller_of(request), read_query(request, SessionEnding)
    kept = caller.session_id if query.keep_current else None
    await end_all_sessions(parts_of(request), caller, kept=kept, origin=origin_of(request))
    response = no_content()
    if kept is None:
        clear_session_cookies(response)
    return response


@routes.add("DELETE", "/auth/sessions/{id}", permission=Permission.MANAGE_OWN_ACCESS, status=204)
async def revoke_session(request: web.Request) -> web.Response:
    """End one of the caller's sessions."""
    handle = read_uuid(request, "id", missing=session_not_found())
    await end_session(parts_of(request), caller_of(request), handle, origin=origin_of(request))
    return no_content()


@routes.add(
    "POST", "/auth/change-password", permission=Permission.MANAGE_OWN_ACCESS, body=PasswordChange, status=204
)
async def replace_password(request: web.Request) -> web.Response:
    """Change the caller's password; ends API keys, and other sessions unless they are kept."""
    body = await read_body(request, PasswordChange)
    await change_password(
        parts_of(request),
        caller_of(request),
        current=body.current_password,
        new=body.new_password,
        end_other_sessions=body.end_other_sessions,
        origin=origin_of(request),
    )
    return no_content()


def _signed_in(parts: Parts, done: SignIn) -> web.Response:
    response = json_response(_view(parts, done.user, done.session))
    set_session_cookies(response, done, parts.clock())
    return response


def _view(parts: Parts, user: User, session: Session) -> SignedIn:
    required = scopes_of(parts, user) is not None
    state = FactorState.REQUIRED if required else FactorState.of(user)
    return SignedIn(
        user=UserView.of(user), session=SessionView.of(session, current=True), second_factor=state
    )
