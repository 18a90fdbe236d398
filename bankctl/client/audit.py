"""The audit trails: `ledger` is banking_api's, `users` is user_api's, `events` is the notifier's."""

from collections.abc import Iterator, Mapping
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate


class Audit:
    """Reads and verifies the trails; nothing writes to them but the acts themselves."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(self, trail: str, wanted: Mapping[str, str | None] | None = None) -> Iterator[dict[str, Any]]:
        """The records of one trail, newest first: all, or those of an action, actor, target or time."""
        return iterate(self._http, f"/audit/{trail}", params=wanted or {}, limit=None)

    def show(self, trail: str, seq: int) -> dict[str, Any]:
        """One record."""
        found: dict[str, Any] = self._http.request("GET", f"/audit/{trail}/{seq}").data
        return found

    def proof(self, trail: str, anchor: Mapping[str, Any] | None) -> dict[str, Any]:
        """Whether the trail is what was written; an anchor is a head `{count, hash}` that was kept before."""
        params = {"count": anchor["count"], "hash": anchor["hash"]} if anchor else {}
        found: dict[str, Any] = self._http.request("GET", f"/audit/{trail}/proof", params=params).data
        return found
