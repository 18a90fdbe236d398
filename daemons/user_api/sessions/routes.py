"""Routes of sessions: gone on with, shown, ended."""

from aiohttp import web

from daemons.contracts.names import REFRESH_COOKIE
from daemons.contracts.permissions import Permission
from daemons.shared.auth.session_tokens import not_signed_in, session_ended
from daemons.shared.http.answers import json_response, no_content
from daemons.shared.http.origin import origin_of
from daemons.shared.http.requests import caller_of, read_query, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.sessions.cookies import clear_session_cookies, set_session_cookies
from daemons.user_api.sessions.models import SessionEnding, SessionList, SignedIn
from daemons.user_api.sessions.refresh import SessionRefresh
from daemons.user_api.sessions.service import LivingSessions, SessionTokens
from daemons.user_api.sessions.service import SessionEnding as Ending
from daemons.user_api.sessions.session import Session, handle_of, session_not_found
from daemons.user_api.users.user import User

routes = Routes("sessions")
LIVING_KEY = web.AppKey("living_sessions", LivingSessions)
ENDING_KEY = web.AppKey("session_ending", Ending)
REFRESH_KEY = web.AppKey("session_refresh", SessionRefresh)


@routes.add("POST", "/auth/refresh", permission=Permission.PUBLIC, answer=SignedIn)
async def refresh(request: web.Request) -> web.Response:
    """Continue the session: exchange the refresh token for new tokens; each works for one exchange."""
    token = request.cookies.get(REFRESH_COOKIE)
    if not token:
        raise not_signed_in()
    tokens = await request.app[REFRESH_KEY].refresh(token, origin=origin_of(request))
    return answer_signed_in(request, tokens)


@routes.add("POST", "/auth/logout", permission=Permission.USE_OWN_SESSION, status=204)
async def logout(request: web.Request) -> web.Response:
    """Sign out: end this session."""
    caller = caller_of(request)
    await request.app[ENDING_KEY].end(caller, handle_of(caller.session_id), origin=origin_of(request))
    response = no_content()
    clear_session_cookies(response)
    return response


@routes.add("GET", "/auth/session", permission=Permission.USE_OWN_SESSION, answer=SignedIn)
async def show_session(request: web.Request) -> web.Response:
    """Show the signed-in user and the session."""
    found = await request.app[LIVING_KEY].verify(caller_of(request).session_id)
    if found is None:
        raise session_ended()
    session, user = found
    return json_response(_view(request, user, session))


@routes.add("GET", "/auth/sessions", permission=Permission.MANAGE_OWN_ACCESS, answer=SessionList)
async def show_sessions(request: web.Request) -> web.Response:
    """List the caller's sessions, newest first."""
    caller = caller_of(request)
    sessions = await request.app[LIVING_KEY].list_of(caller.user_id)
    return json_response(SessionList.of(sessions, caller))


@routes.add(
    "DELETE", "/auth/sessions", permission=Permission.MANAGE_OWN_ACCESS, query=SessionEnding, status=204
)
async def revoke_all_sessions(request: web.Request) -> web.Response:
    """End all of the caller's sessions, or all others, and all of the caller's API keys."""
    caller, query = caller_of(request), read_query(request, SessionEnding)
    kept = caller.session_id if query.keep_current else None
    await request.app[ENDING_KEY].end_all(caller, kept=kept, origin=origin_of(request))
    response = no_content()
    if kept is None:
        clear_session_cookies(response)
    return response


@routes.add("DELETE", "/auth/sessions/{id}", permission=Permission.MANAGE_OWN_ACCESS, status=204)
async def revoke_session(request: web.Request) -> web.Response:
    """End one of the caller's sessions."""
    handle = read_uuid(request, "id", missing=session_not_found())
    await request.app[ENDING_KEY].end(caller_of(request), handle, origin=origin_of(request))
    return no_content()


def answer_signed_in(request: web.Request, tokens: SessionTokens) -> web.Response:
    """Answer who is signed in; the tokens go into cookies."""
    response = json_response(_view(request, tokens.user, tokens.session))
    set_session_cookies(response, tokens)
    return response


def _view(request: web.Request, user: User, session: Session) -> SignedIn:
    must_enrol = request.app[LIVING_KEY].scopes_of(user) is not None
    return SignedIn.of(user, session, must_enrol=must_enrol)
