"""Reading a request: the body as a model, the query as a model, the idempotency key, the caller."""

import asyncio
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from daemons.contracts.errors import FieldError, InvalidRequestError, NotFoundError, TransientError
from daemons.contracts.names import IDEMPOTENCY_KEY_HEADER
from daemons.contracts.vocabulary import explain_mismatch, fault_of_idempotency_key
from daemons.shared.auth.callers import Caller
from daemons.shared.http.strict_json import parse_object

ModelT = TypeVar("ModelT", bound=BaseModel)

PREFER_HEADER = "Prefer"
RETURN_MINIMAL = "return=minimal"
# A body of thousands of unknown fields must not be answered with thousands of sentences.
_FAULTS_SHOWN = 50
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20

CALLER_KEY = web.RequestKey("caller", Caller)
REQUEST_ID_KEY = web.RequestKey("request_id", str)
_GIVEN_KEY = web.RequestKey("idempotency_key", str)
BODY_SECONDS_KEY = web.AppKey("body_seconds", float)
"""How long a body may take to arrive; set by who serves the application."""


def caller_of(request: web.Request) -> Caller:
    """Return who calls; every route but public ones has a caller by the time its handler runs."""
    return request[CALLER_KEY]


def request_id_of(request: web.Request) -> str:
    """Return the id under which this request appears in answers, logs and other daemons' logs."""
    return request[REQUEST_ID_KEY]


async def read_body(request: web.Request, model: type[ModelT]) -> ModelT:
    """Read and check the body.

    Raises:
        InvalidRequestError: `unsupported_media_type`, `payload_too_large`, `invalid_json`, or
            `invalid_request` with each field at fault.
        TransientError: `request_timeout`, the body did not arrive in time.
    """
    # The first is how nearly everybody writes it; to parse it takes longer.
    if request.headers.get(hdrs.CONTENT_TYPE) != _JSON and request.content_type != _JSON:
        raise InvalidRequestError(
            "unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
        # A small body that grows when it is unpacked would pass the limit of size.
        raise InvalidRequestError("unsupported_media_type", "Send the body as it is, without compression.")
    return check_model(parse_object(await _read_whole(request)), model)


async def read_form(request: web.Request, model: type[ModelT]) -> ModelT:
    """Read and check a form of a page of ours: of it alone a body that is not JSON is taken.

    Raises:
        InvalidRequestError, TransientError: as `read_body`.
    """
    if request.content_type != _FORM:
        raise InvalidRequestError(
            "unsupported_media_type", "Send the form as application/x-www-form-urlencoded."
        )
    try:
        fields = parse_qsl(
            (await _read_whole(request)).decode(),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=_MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise InvalidRequestError("invalid_request", "The form is malformed.") from None
    if len(dict(fields)) < len(fields):
        raise InvalidRequestError("invalid_request", "A field stands more than once in the form.")
    return check_model(dict(fields), model)


async def _read_whole(request: web.Request) -> bytes:
    try:
        # Most bodies come with their header: they are here, and need neither a timer nor to be waited for.
        if request.content.is_eof():
            return _within_limit(request.content.read_nowait(), request)
        async with asyncio.timeout(request.app.get(BODY_SECONDS_KEY)):
            return await request.read()
    except (web.RequestPayloadError, ConnectionError):
        raise InvalidRequestError("invalid_json", "The body ends before its length.") from None
    except TimeoutError:
        raise TransientError(
            "request_timeout", "The body did not arrive in time; nothing was done."
        ) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None


def _within_limit(body: bytes, request: web.Request) -> bytes:
    if len(body) > request.client_max_size:
        raise _too_large()
    return body


def _too_large() -> InvalidRequestError:
    return InvalidRequestError("payload_too_large", "The body is larger than this route accepts.")


def read_query(request: web.Request, model: type[ModelT]) -> ModelT:
    """Read and check the query string; a parameter given twice or unknown is refused."""
    repeated = sorted({name for name in request.query if len(request.query.getall(name)) > 1})
    if repeated:
        faults = [FieldError(name, "stands more than once in the query") for name in repeated]
        raise _invalid_request(faults)
    return check_model(dict(request.query), model)


def check_model(value: dict[str, Any], model: type[ModelT]) -> ModelT:
    """Build the model, or name each field at fault.

    Raises:
        InvalidRequestError: with code `invalid_request`.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [
            FieldError(".".join(str(part) for part in fault["loc"]) or "body", _message(fault))
            for fault in error.errors(include_url=False)
        ]
        raise _invalid_request(faults[:_FAULTS_SHOWN]) from None


def _message(fault: ErrorDetails) -> str:
    if fault["type"] == "string_pattern_mismatch":
        return explain_mismatch(fault["ctx"]["pattern"], fault["input"])
    return fault["msg"].removeprefix("Value error, ")


def read_uuid(request: web.Request, name: str, *, missing: NotFoundError) -> UUID:
    """Read an id from the path; what is no UUID names nothing, so it answers as not found."""
    try:
        return UUID(request.match_info[name])
    except ValueError:
        raise missing from None


def read_idempotency_key(request: web.Request, *, required: bool) -> None:
    """Read the key that makes a retry safe; `idempotency_key_of` has it from then on.

    The guard before each route that takes one does it, so that all of them read it alike.

    Raises:
        InvalidRequestError: `idempotency_key_missing` or `invalid_idempotency_key`.
    """
    keys = request.headers.getall(IDEMPOTENCY_KEY_HEADER, ())
    if len(keys) > 1:
        raise InvalidRequestError("invalid_idempotency_key", "Send one Idempotency-Key, not several.")
    if not keys:
        if required:
            raise InvalidRequestError(
                "idempotency_key_missing",
                "Send an Idempotency-Key header (a UUID, say), and the same one when you retry.",
            )
        return
    if fault := fault_of_idempotency_key(keys[0]):
        raise InvalidRequestError("invalid_idempotency_key", f"{IDEMPOTENCY_KEY_HEADER} {fault}.")
    request[_GIVEN_KEY] = keys[0]


def idempotency_key_of(request: web.Request) -> str:
    """Return the key of a request to a route that requires one."""
    return request[_GIVEN_KEY]


def optional_idempotency_key_of(request: web.Request) -> str | None:
    """Return the key of a request to a route that takes one, if it has one."""
    return request.get(_GIVEN_KEY)


def prefers_minimal(request: web.Request) -> bool:
    """Whether the caller needs no more of what was made than its id (RFC 7240, 4.2).

    An unknown preference is not an error: the caller gets the full answer.
    """
    offered = ",".join(request.headers.getall(PREFER_HEADER, ()))
    return any(
        preference.partition(";")[0].replace(" ", "").replace('"', "").lower() == RETURN_MINIMAL
        for preference in offered.split(",")
    )


def invalid_field(field: str, message: str) -> InvalidRequestError:
    """Return the error for one field that no model can check."""
    return _invalid_request([FieldError(field, message)])


def _invalid_request(faults: list[FieldError]) -> InvalidRequestError:
    first = faults[0]
    return InvalidRequestError(
        "invalid_request", f"The request is malformed: {first.field}: {first.message}.", errors=faults
    )
