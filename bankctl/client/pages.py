"""Lists that come in pages."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from bankctl.client.http import Transport

LARGEST_PAGE = 200


def iterate(
    http: Transport, path: str, *, params: Mapping[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    """The items of a list, page after page as they are consumed; at most `limit` of them, or all."""
    return islice(_pages(http, path, params, limit), limit)


def _pages(
    http: Transport, path: str, params: Mapping[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    size = min(limit or LARGEST_PAGE, LARGEST_PAGE)
    cursor: str | None = None
    while True:
        page = http.request("GET", path, params={**params, "limit": size, "cursor": cursor}).data
        yield from page["items"]
        cursor = page.get("next_cursor")
        if not cursor:
            return
