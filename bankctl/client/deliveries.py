"""Deliveries (notifier): looked at by support staff, retried by operators."""

from collections.abc import Iterator
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate

_PATH = "/deliveries"


class Deliveries:
    """Lists, shows, and takes up again what was given up."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(
        self,
        *,
        state: str | None,
        channel: str | None,
        recipient: str | None,
        event: str | None,
        limit: int | None,
    ) -> Iterator[dict[str, Any]]:
        """The deliveries, newest first."""
        params = {"state": state, "channel": channel, "recipient": recipient, "event": event}
        return iterate(self._http, _PATH, params=params, limit=limit)

    def show(self, delivery_id: str) -> dict[str, Any]:
        """One delivery."""
        found: dict[str, Any] = self._http.request("GET", f"{_PATH}/{delivery_id}").data
        return found

    def retry(self, delivery_id: str) -> dict[str, Any]:
        """One delivery after it was owed again."""
        found: dict[str, Any] = self._http.request("POST", f"{_PATH}/{delivery_id}/retry").data
        return found
