"""OpenAPI 3.1 documents, made from the same declarations that route the requests.

Each daemon serves its own; tests/support/api_reference.py makes the bank's, which the gateway serves.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from apispec import APISpec
from pydantic import BaseModel

from daemons.contracts.errors import Category
from daemons.contracts.names import (
    FORGERY_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    PAYMENT_CONFIRMATION_HEADER,
    SESSION_COOKIE,
)
from daemons.contracts.permissions import NEVER_GRANTED_TO_KEYS, Permission
from daemons.shared.http.requests import PREFER_HEADER, RETURN_MINIMAL
from daemons.shared.http.routes import IdempotencyKey, Route

_REF = "#/components/schemas/{model}"
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details. `code` is stable; `detail` is for people.",
    "required": ["type", "title", "status", "detail", "code", "category", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["insufficient_funds"]},
        "category": {"type": "string", "enum": [category.value for category in Category]},
        "request_id": {"type": "string", "description": "As in the header X-Request-Id and in the logs."},
        "errors": {
            "type": "array",
            "description": "Each field at fault of a malformed request.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "details": {"type": "object"},
        "retry_after_seconds": {"type": "integer"},
    },
}
_PROBLEM_RESPONSE: dict[str, Any] = {
    "description": "What went wrong",
    "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
}
_SESSION: dict[str, Any] = {
    "type": "apiKey",
    "in": "cookie",
    "name": SESSION_COOKIE,
    "description": "Set by `POST /auth/login` and sent by the browser; no script can read or set it.",
}
_API_KEY: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "bk_...",
    "description": "An API key, made by `POST /auth/tokens`. It counts before a session.",
}
_SERVICE: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "What daemons prove themselves with to one another.",
}
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": IDEMPOTENCY_KEY_HEADER,
    "in": "header",
    "description": "Choose a new one, such as a UUID, for each thing to do, and send the same one to repeat "
    "a request: the stored answer comes back, and nothing is done twice.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
_FORGERY: dict[str, Any] = {
    "name": FORGERY_HEADER,
    "in": "header",
    "required": True,
    "description": "Any text: no other web site can make a browser send it. Not needed with an API key.",
    "schema": {"type": "string", "minLength": 1},
    "example": "docs",
}
_NULL = {"type": "null"}


class NamesCollideError(ValueError):
    """Two operations or two different models would have one name in a document."""


def describe(title: str, version: str, routes: Iterable[Route], *, introduction: str = "") -> dict[str, Any]:
    """Return the document; the introduction is Markdown.

    Raises:
        NamesCollideError: the routes do not fit into one document.
    """
    routes = list(routes)
    info = {"description": introduction} if introduction else {}
    spec = APISpec(title=title, version=version, openapi_version="3.1.0", info=info)
    spec.components.schema("Problem", _PROBLEM)
    spec.components.response("Problem", _PROBLEM_RESPONSE)
    spec.components.security_scheme("session", _SESSION)
    spec.components.security_scheme("api_key", _API_KEY)
    if any(route.permission is Permission.SERVICE for route in routes):
        spec.components.security_scheme("service", _SERVICE)
    _refuse_collisions(route.operation for route in routes)
    schemas: dict[str, Any] = {}
    for tag in dict.fromkeys(route.tag for route in routes):
        spec.tag({"name": tag})
    for route in routes:
        spec.path(path=route.path, operations={route.method.lower(): _operation(route, schemas)})
    for name in sorted(schemas):
        spec.components.schema(name, schemas[name])
    document: dict[str, Any] = spec.to_dict()
    return document


def _refuse_collisions(operations: Iterable[str]) -> None:
    """Make sure that each operation has a name of its own.

    Raises:
        NamesCollideError: two have the same.
    """
    twice = [name for name, count in Counter(operations).items() if count > 1]
    if twice:
        raise NamesCollideError(f"several operations have the same name: {', '.join(twice)}")


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        forms = {route.media_type: route.answer, **route.other_forms}
        success["content"] = {
            media_type: {"schema": _reference(model, schemas)} for media_type, model in forms.items()
        }
    operation: dict[str, Any] = {
        "operationId": route.operation,
        "summary": route.summary,
        "tags": [route.tag],
        "x-permission": route.permission.value,
        "security": _security(route),
        "parameters": list(_parameters(route)),
        "responses": {
            str(route.status): success,
            **{str(status): _answer(model, schemas) for status, model in route.other_answers.items()},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    }
    sent = {"application/json": route.body, "application/x-www-form-urlencoded": route.form}
    content = {
        media_type: {"schema": _reference(model, schemas)}
        for media_type, model in sent.items()
        if model is not None
    }
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    summary = (model.__doc__ or model.__name__).strip().partition("\n")[0]
    return {
        "description": summary,
        "content": {"application/json": {"schema": _reference(model, schemas)}},
    }


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.permission is Permission.PUBLIC:
        return []
    if route.permission is Permission.SERVICE:
        return [{"service": []}]
    by_session: list[dict[str, list[str]]] = [{"session": []}]
    by_key = route.permission is Permission.SIGNED_IN or route.permission not in NEVER_GRANTED_TO_KEYS
    return [*by_session, {"api_key": []}] if by_key else by_session


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if route.query is not None:
        described = route.query.model_json_schema()
        for name, field in described["properties"].items():
            schema = _as_query(field)
            # A parameter shows the words that it takes itself.
            words = described.get("$defs", {}).get(schema.pop("$ref", "").rpartition("/")[2], {})
            listed = {part: words[part] for part in ("type", "enum") if part in words}
            yield {"name": name, "in": "query", "required": False, "schema": {**listed, **schema}}
    if route.idempotency_key is not IdempotencyKey.UNUSED:
        yield {**_IDEMPOTENCY_KEY, "required": route.idempotency_key is IdempotencyKey.REQUIRED}
    if route.minimal_on_request:
        yield {
            "name": PREFER_HEADER,
            "in": "header",
            "required": False,
            "description": "With `return=minimal` each row's answer has the id of its transaction only.",
            "schema": {"type": "string", "examples": [RETURN_MINIMAL]},
        }
    if route.takes_confirmation:
        yield {
            "name": PAYMENT_CONFIRMATION_HEADER,
            "in": "header",
            "required": False,
            "description": "A confirmation of just this by the second factor, from "
            "`POST /auth/payment-confirmations`; needed after `payment_confirmation_required`.",
            "schema": {"type": "string"},
        }
    if route.method != "GET" and route.permission is not Permission.SERVICE:
        yield _FORGERY


def _as_query(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without null: what is not wanted is left out of a query string."""
    kept = {name: value for name, value in field.items() if name != "anyOf"}
    alternatives = [one for one in field.get("anyOf", []) if one != _NULL]
    if len(alternatives) == 1:
        kept |= alternatives[0]
    elif alternatives:
        kept["anyOf"] = alternatives
    if kept.get("default", "") is None:
        del kept["default"]
    return kept


def _reference(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, str]:
    schema = model.model_json_schema(ref_template=_REF)
    for name, found in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        if schemas.setdefault(name, found) != found:
            raise NamesCollideError(f"several models have the same name: {name}")
    return {"$ref": _REF.format(model=model.__name__)}
