"""The cookies that carry a session's tokens: the only place where they leave the daemon."""

import math
from datetime import datetime

from aiohttp import web

from daemons.contracts.names import DEVICE_COOKIE, REFRESH_COOKIE, SESSION_COOKIE
from daemons.user_api.sessions.service import SessionTokens
from daemons.user_api.sessions.session import DEVICE_KNOWN_FOR


def set_session_cookies(response: web.Response, done: SessionTokens) -> None:
    """Give the browser or the command line both tokens; each cookie lives as long as its token."""
    now = done.issued_at
    _set(response, SESSION_COOKIE, done.token, now, done.token_expires_at)
    _set(response, REFRESH_COOKIE, done.refresh_token, now, done.session.expires_at)
    if done.device_token is not None:
        _set(response, DEVICE_COOKIE, done.device_token, now, now + DEVICE_KNOWN_FOR)


def clear_session_cookies(response: web.Response) -> None:
    """Take the tokens back; the device stays known, as it is for the next sign-in."""
    for name in (SESSION_COOKIE, REFRESH_COOKIE):
        response.del_cookie(name, path="/", secure=True, httponly=True, samesite="Strict")


def _set(response: web.Response, name: str, token: str, now: datetime, expires_at: datetime) -> None:
    # RFC 6265bis §4.1.3: a __Host- cookie is Secure, for the path /, and for this host alone.
    response.set_cookie(
        name,
        token,
        max_age=max(0, math.ceil((expires_at - now).total_seconds())),
        path="/",
        secure=True,
        httponly=True,
        samesite="Strict",
    )
