"""Errors as RFC 9457 problem+json: one table from category to status, nothing internal leaks."""

import json
from typing import Any

from aiohttp import web

from daemons.contracts.errors import BankError, Category
from daemons.contracts.names import Code
from daemons.shared.http.answers import REPLAYED

STATUS_OF_CATEGORY: dict[Category, int] = {
    Category.INVALID: 422,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.REJECTED: 422,
    Category.TRANSIENT: 503,
    Category.OUTCOME_UNKNOWN: 503,
    Category.INTERNAL: 500,
}

STATUS_OF_CODE: dict[str, int] = {
    "invalid_json": 400,
    "invalid_cursor": 400,
    "idempotency_key_missing": 400,
    "invalid_idempotency_key": 400,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limited": 429,
    Code.TOO_MANY_STREAMS: 429,
}
"""Codes whose status is more exact than their category's."""

_LEAVES_A_REST = frozenset({"payload_too_large", "request_timeout"})
"""Codes after which the rest of a body may still come, so that the connection ends with the answer."""


def status_of(error: BankError) -> int:
    """Return the HTTP status of an error."""
    return STATUS_OF_CODE.get(error.code, STATUS_OF_CATEGORY[error.category])


def problem_of(error: BankError, *, request_id: str) -> dict[str, Any]:
    """Return the body of an error."""
    body: dict[str, Any] = {
        "type": f"urn:bankctl:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": status_of(error),
        "detail": error.message,
        "code": error.code,
        "category": error.category.value,
        "request_id": request_id,
    }
    if error.errors:
        body["errors"] = [{"field": fault.field, "message": fault.message} for fault in error.errors]
    if error.details:
        body["details"] = error.details
    if error.retry_after_seconds is not None:
        body["retry_after_seconds"] = error.retry_after_seconds
    return body


def problem_response(error: BankError, *, request_id: str) -> web.Response:
    """Return the answer to a request that ended in this error."""
    response = web.Response(
        status=status_of(error),
        body=json.dumps(problem_of(error, request_id=request_id)).encode(),
        content_type="application/problem+json",
    )
    if error.replayed:
        response.headers.update(REPLAYED)
    if error.code in _LEAVES_A_REST:
        response.force_close()
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    if response.status == STATUS_OF_CATEGORY[Category.UNAUTHENTICATED]:
        response.headers["WWW-Authenticate"] = 'Cookie realm="bankctl", Bearer realm="bankctl"'
    return response
