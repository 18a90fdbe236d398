"""The cookie that carries the session token: the only place where the token leaves the daemon."""

from aiohttp import web

from daemons.shared.auth.session_tokens import SESSION_COOKIE
from daemons.user_api.domain.session import SessionLimits


def set_session_cookie(response: web.Response, token: str, limits: SessionLimits) -> None:
    """Give the browser or the command line the token (RFC 6265bis §4.1.3: the __Host- rules)."""
    response.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=int(limits.lifetime.total_seconds()),
        path="/",
        secure=True,
        httponly=True,
        samesite="Strict",
    )


def clear_session_cookie(response: web.Response) -> None:
    """Take the token back."""
    response.del_cookie(SESSION_COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
