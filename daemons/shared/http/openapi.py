"""A daemon's OpenAPI 3.1 document, made from the same declarations that route its requests."""

import re
from collections.abc import Iterable
from typing import Any

from apispec import APISpec
from pydantic import BaseModel

from daemons.contracts.errors import Category
from daemons.contracts.permissions import NEVER_GRANTED_TO_KEYS, Permission
from daemons.shared.auth.session_tokens import SESSION_COOKIE
from daemons.shared.http.requests import IDEMPOTENCY_KEY_HEADER, PREFER_HEADER, RETURN_MINIMAL
from daemons.shared.http.routes import FORGERY_HEADER, IdempotencyKey, Route

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
        "code": {"type": "string"},
        "category": {"type": "string", "enum": [category.value for category in Category]},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
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


def describe(daemon: str, version: str, routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document."""
    spec = APISpec(title=f"bankctl {daemon}", version=version, openapi_version="3.1.0")
    spec.components.schema("Problem", _PROBLEM)
    spec.components.security_scheme("session", {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE})
    spec.components.security_scheme("api_key", {"type": "http", "scheme": "bearer"})
    spec.components.security_scheme("service", {"type": "http", "scheme": "bearer"})
    schemas: dict[str, Any] = {}
    for route in routes:
        spec.path(path=route.path, operations={route.method.lower(): _operation(route, schemas)})
    for name in sorted(schemas):
        spec.components.schema(name, schemas[name])
    document: dict[str, Any] = spec.to_dict()
    return document


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.answer is not None:
        forms = {route.media_type: route.answer, **route.other_forms}
        success["content"] = {
            media_type: {"schema": _reference(model, schemas)} for media_type, model in forms.items()
        }
    operation: dict[str, Any] = {
        "operationId": getattr(route.handler, "__name__", route.path),
        "summary": route.summary,
        "tags": [route.tag],
        "x-permission": route.permission.value,
        "security": _security(route),
        "parameters": list(_parameters(route)),
        "responses": {
            str(route.status): success,
            **{str(status): _answer(model, schemas) for status, model in route.other_answers.items()},
            "default": {
                "description": "What went wrong",
                "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(route.body, schemas)}},
        }
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
        for name, field in route.query.model_json_schema()["properties"].items():
            yield {"name": name, "in": "query", "required": False, "schema": field}
    if route.idempotency_key is not IdempotencyKey.UNUSED:
        yield {
            "name": IDEMPOTENCY_KEY_HEADER,
            "in": "header",
            "required": route.idempotency_key is IdempotencyKey.REQUIRED,
            "schema": {"type": "string", "minLength": 1, "maxLength": 128},
        }
    if route.minimal_on_request:
        yield {
            "name": PREFER_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "examples": [RETURN_MINIMAL]},
        }
    if route.method != "GET" and route.permission is not Permission.SERVICE:
        yield {"name": FORGERY_HEADER, "in": "header", "required": True, "schema": {"type": "string"}}


def _reference(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, str]:
    schema = model.model_json_schema(ref_template=_REF)
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema
    return {"$ref": _REF.format(model=model.__name__)}
