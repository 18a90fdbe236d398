"""The one middleware: every request gets an id and a measure, every error a problem+json answer."""

import re
import time

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pymongo.errors import PyMongoError

from daemons.contracts.errors import (
    BankError,
    Category,
    InvalidRequestError,
    NotFoundError,
    TransientError,
)
from daemons.contracts.names import REQUEST_ID_HEADER
from daemons.shared.http.problems import problem_response
from daemons.shared.http.rates import TooManyRequestsError
from daemons.shared.http.requests import REQUEST_ID_KEY
from daemons.shared.ids import new_id_text
from daemons.shared.metrics import observe_request

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = structlog.get_logger()


@web.middleware
async def boundary(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the handler and turn whatever it raises into an answer that names the fault and leaks nothing."""
    # Two ids count as none: a reader of the other one would search the logs for the wrong lines.
    offered = request.headers.getall(REQUEST_ID_HEADER, [])
    valid = len(offered) == 1 and _REQUEST_ID.fullmatch(offered[0])
    request_id = offered[0] if valid else new_id_text()
    request[REQUEST_ID_KEY] = request_id
    started = time.perf_counter()
    try:
        response = await handler(request)
    except TooManyRequestsError as error:
        response = problem_response(error, request_id=request_id)
        response.headers.update(error.headers)
    except BankError as error:
        response = problem_response(error, request_id=request_id)
        if error.category in {Category.UNAUTHENTICATED, Category.FORBIDDEN}:
            # The raw path is percent-encoded: nothing in it can drive a terminal or fake a line.
            path = request.rel_url.raw_path
            _log.info("request refused", code=error.code, request_id=request_id, path=path)
    except web.HTTPException as error:
        response = problem_response(_router_error(request, error), request_id=request_id)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except PyMongoError as error:
        _log.warning("database does not answer", request_id=request_id, reason=str(error))
        silent = TransientError(
            "unavailable",
            f"The database does not answer ({type(error).__name__}); try again.",
            retry_after_seconds=1,
        )
        response = problem_response(silent, request_id=request_id)
    except Exception:  # noqa: BLE001 - the outermost frame of a request: everything becomes an answer
        # The caller learns the request id only; the log has the rest under the same id.
        path = request.rel_url.raw_path
        _log.exception("request failed", request_id=request_id, method=request.method, path=path)
        fault = BankError(
            "internal", "Something went wrong on our side; nothing more is known to the caller."
        )
        response = problem_response(fault, request_id=request_id)
    if not response.prepared:
        response.headers[REQUEST_ID_HEADER] = request_id
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unrouted"
    observe_request(request.method, route, response.status, time.perf_counter() - started)
    return response


def _router_error(request: web.Request, error: web.HTTPException) -> BankError:
    if isinstance(error, web.HTTPNotFound):
        return NotFoundError("route_not_found", f"There is no {request.method} {request.path} here.")
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return InvalidRequestError("method_not_allowed", f"This path answers {allowed}.")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return InvalidRequestError("payload_too_large", "The body is larger than this route accepts.")
    return InvalidRequestError("invalid_request", "The request is malformed.")
