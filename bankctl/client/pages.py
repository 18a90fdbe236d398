"""Lists that come in pages."""

from collections.abc import Iterator, Mapping
from typing import Any

from bankctl.client.http import Transport
from bankctl.errors import CliError, ExitStatus
from bankctl.render import messages

LARGEST_PAGE = 200


def iterate(
    http: Transport, path: str, *, params: Mapping[str, Any], limit: int | None
) -> Iterator[dict[str, Any]]:
    """The items of a list, page after page as they are consumed; at most `limit` of them, or all.

    The reader of a limited list is told at its end if there is more: a list that stops silently looks
    complete.
    """
    size = LARGEST_PAGE if limit is None else max(1, min(limit, LARGEST_PAGE))
    left, cursor = limit, None
    while True:
        page = http.request("GET", path, params={**params, "limit": size, "cursor": cursor}).data
        for item in page["items"]:
            if left is not None:
                if left <= 0:
                    return _say_more()
                left -= 1
            yield item
        before, cursor = cursor, page.get("next_cursor")
        if not cursor:
            return None
        if cursor == before and page["items"]:
            raise CliError(
                f"the pages of {path} form a loop",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl doctor` compares versions",
                code="broken_list",
            )
        if left == 0:
            return _say_more()


def _say_more() -> None:
    messages.note("there are more; --limit N or --all shows them")
