"""Routes that cannot be declared without saying who may call them.

A handler is registered through `Routes`, which wraps it: forgery checks, sign-in, the caller's rate and
permission come before the handler's first line, for every route, so no daemon can forget them.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import hdrs, web
from pydantic import BaseModel

from daemons.contracts.errors import ForbiddenError, UnauthenticatedError
from daemons.contracts.names import FORGERY_HEADER, SESSION_COOKIE, Code
from daemons.contracts.permissions import ADMINISTRATIVE, Permission, is_granted
from daemons.shared.audit.refusals import RefusalRecorder
from daemons.shared.auth.api_keys import api_key_in
from daemons.shared.auth.callers import Authenticator, Caller
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER, ServiceTokenVerifier
from daemons.shared.auth.session_tokens import not_signed_in
from daemons.shared.http.origin import actor_of, address_of
from daemons.shared.http.rates import RateLimits
from daemons.shared.http.requests import CALLER_KEY, read_idempotency_key

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

AUTHENTICATOR_KEY = web.AppKey("authenticator", Authenticator)
SERVICE_TOKENS_KEY = web.AppKey("service_tokens", ServiceTokenVerifier)
REFUSALS_KEY = web.AppKey("refusals", RefusalRecorder)
"""Set by every daemon of ours; an application without an audit trail refuses unrecorded."""

_SITE_HEADER = "Sec-Fetch-Site"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class IdempotencyKey(StrEnum):
    """Whether a route takes an Idempotency-Key."""

    UNUSED = "unused"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation: what it takes, what it answers, who may call it."""

    method: str
    path: str
    operation: str
    """Its name, which no other operation of the bank has."""

    handler: Handler
    permission: Permission
    summary: str
    tag: str
    body: type[BaseModel] | None
    form: type[BaseModel] | None
    """What a page's form sends, in place of a body of JSON."""

    query: type[BaseModel] | None
    answer: type[BaseModel] | None
    status: int
    other_answers: Mapping[int, type[BaseModel]]
    other_forms: Mapping[str, type[BaseModel]]
    """What the answer is made of when the caller accepts another media type."""

    idempotency_key: IdempotencyKey
    minimal_on_request: bool
    """Whether a caller may prefer an answer that has less (`prefers_minimal`)."""

    takes_confirmation: bool
    """Whether a payment may carry what confirms it by the second factor."""

    maximum_body_bytes: int | None
    """None for what every route takes."""

    media_type: str
    proves_itself: bool
    """The address holds a signed permission for just this, so it does not matter from where it is called."""


ROUTES_KEY = web.AppKey("routes", list[Route])


class Routes:
    """The routes of one tag of a daemon.

    Routes that several daemons have are distinguished by their area, which their operations' names end with.
    """

    def __init__(self, tag: str, *, area: str | None = None) -> None:
        self._tag = tag
        self._suffix = f"_{area}" if area else ""
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(
        self,
        method: str,
        path: str,
        *,
        permission: Permission,
        body: type[BaseModel] | None = None,
        form: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None,
        answer: type[BaseModel] | None = None,
        status: int = 200,
        other_answers: Mapping[int, type[BaseModel]] | None = None,
        other_forms: Mapping[str, type[BaseModel]] | None = None,
        idempotency_key: IdempotencyKey = IdempotencyKey.UNUSED,
        minimal_on_request: bool = False,
        takes_confirmation: bool = False,
        maximum_body_bytes: int | None = None,
        media_type: str = "application/json",
        proves_itself: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler as an operation; its docstring's first line is the summary."""

        def declare(handler: Handler) -> Handler:
            summary = (handler.__doc__ or "").strip().partition("\n")[0]
            route = Route(
                method=method,
                path=path,
                operation=handler.__name__ + self._suffix,
                handler=handler,
                permission=permission,
                summary=summary,
                tag=self._tag,
                body=body,
                form=form,
                query=query,
                answer=answer,
                status=status,
                other_answers=other_answers or {},
                other_forms=other_forms or {},
                idempotency_key=idempotency_key,
                minimal_on_request=minimal_on_request,
                takes_confirmation=takes_confirmation,
                maximum_body_bytes=maximum_body_bytes,
                media_type=media_type,
                proves_itself=proves_itself,
            )
            self._routes.append(route)
            return handler

        return declare


def published(routes: Iterable[Route]) -> list[Route]:
    """Return the routes that the gateway leads to, without those for daemons among themselves."""
    return [route for route in routes if route.permission is not Permission.SERVICE]


def register(app: web.Application, rates: RateLimits) -> None:
    """Put the application's declared routes, `app[ROUTES_KEY]`, behind their guards into its router."""
    for route in app[ROUTES_KEY]:
        app.router.add_route(route.method, route.path, _guarded(route, rates))


def _guarded(route: Route, rates: RateLimits) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        if route.maximum_body_bytes is not None:
            request = request.clone(client_max_size=route.maximum_body_bytes)
        if route.permission is Permission.SERVICE:
            request.app[SERVICE_TOKENS_KEY].verify(request.headers.get(SERVICE_TOKEN_HEADER))
            return await route.handler(request)
        if route.permission is Permission.PUBLIC:
            rates.admit_address(address_of(request))
            if route.method not in _SAFE_METHODS and not route.proves_itself:
                _refuse_forgery(request)
            return await route.handler(request)
        request[CALLER_KEY] = caller = await _admit(request, route, rates)
        try:
            if not caller.may(route.permission):
                raise _refusal(caller, route.permission)
            if route.idempotency_key is not IdempotencyKey.UNUSED:
                read_idempotency_key(request, required=route.idempotency_key is IdempotencyKey.REQUIRED)
            return await route.handler(request)
        except ForbiddenError as error:
            # Who is asked for a reason is not refused.
            told = error.code != Code.REASON_REQUIRED and route.permission in ADMINISTRATIVE
            if told and REFUSALS_KEY in request.app:
                await request.app[REFUSALS_KEY].record(
                    actor_of(request),
                    route=f"{route.method} {route.path}",
                    path=request.rel_url.raw_path,
                    code=error.code,
                )
            raise

    return guarded


async def _admit(request: web.Request, route: Route, rates: RateLimits) -> Caller:
    authenticator, key = request.app[AUTHENTICATOR_KEY], api_key_in(request.headers)
    try:
        if key is not None:
            caller = await authenticator.authenticate_key(key)
        else:
            # A browser adds cookies to what another site sends, never an API key.
            if route.method not in _SAFE_METHODS:
                _refuse_forgery(request)
            caller = await authenticator.authenticate(_session_token(request))
    except (ForbiddenError, UnauthenticatedError):
        rates.admit_address(address_of(request))
        raise
    rates.admit_caller(caller)
    return caller


def _refuse_forgery(request: web.Request) -> None:
    """Refuse what another site could make a browser send (OWASP ASVS 5.0 V3.5)."""
    if not request.headers.get(FORGERY_HEADER):
        raise ForbiddenError(
            "csrf_header_missing", f"Requests that change something need the header {FORGERY_HEADER}."
        )
    origin = request.headers.get(hdrs.ORIGIN)
    site = request.headers.get(_SITE_HEADER, "none")
    if (origin is not None and origin.partition("://")[2] != request.host) or site not in {
        "same-origin",
        "none",
    }:
        raise ForbiddenError("origin_refused", "The request comes from another site.")


def _session_token(request: web.Request) -> str:
    # The library makes an object of every cookie; one is needed, on every request.
    token = ""
    for cookie in request.headers.get(hdrs.COOKIE, "").split(";"):
        name, _, value = cookie.partition("=")
        if name.strip() == SESSION_COOKIE:
            token = value.strip()
    if not token:
        raise not_signed_in()
    return token


def _refusal(caller: Caller, permission: Permission) -> ForbiddenError:
    if not is_granted(caller.role, permission):
        return ForbiddenError("forbidden", f"Your role, {caller.role.value}, may not do this.")
    if caller.key_digest is not None:
        return ForbiddenError("scope_missing", f"The API key was not made for this: {permission.value}.")
    if Permission.CHANGE_OWN_PASSWORD in (caller.scopes or ()):
        return ForbiddenError(
            "password_change_required", "Your password was chosen by somebody else; change it first."
        )
    return ForbiddenError(
        "second_factor_required", f"Your role, {caller.role.value}, needs a second factor first."
    )
