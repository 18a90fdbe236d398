"""Answering a request: models as JSON, or documents that look like them."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import BaseModel
from pydantic_core import to_json

from daemons.contracts.names import REPLAYED_HEADER

REPLAYED: Mapping[str, str] = {REPLAYED_HEADER: "true"}
"""Says that this was done before, under the same idempotency key, and nothing now."""


def json_response(
    model: BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    replayed: bool = False,
) -> web.Response:
    """Answer with a model."""
    return web.Response(
        status=status,
        body=model.model_dump_json(by_alias=True).encode(),
        content_type="application/json",
        headers={**(headers or {}), **REPLAYED} if replayed else headers,
    )


def document_response(
    document: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    replayed: bool = False,
) -> web.Response:
    """Answer with a document as its model would look.

    For answers that are made by the thousand: building a model for each and writing it takes ten times as
    long. A test holds every such document against the model that the route declares.
    """
    return web.Response(
        status=status,
        body=to_json(document),
        content_type="application/json",
        headers={**(headers or {}), **REPLAYED} if replayed else headers,
    )


def no_content() -> web.Response:
    """Answer that it is done and there is nothing to say."""
    return web.Response(status=204)
