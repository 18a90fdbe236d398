"""Whole lists of the bank, over all their pages."""

from typing import Any

import httpx


async def pages(http: httpx.AsyncClient, path: str, **query: str) -> list[dict[str, Any]]:
    """All items of a list."""
    items: list[dict[str, Any]] = []
    params = {"limit": "200", **query}
    while True:
        answer = await http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        params["cursor"] = page["next_cursor"]
