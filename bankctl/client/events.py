"""Events and notifications (notifier), for support staff."""

from collections.abc import Iterator, Sequence
from typing import Any

from bankctl.client.event_filter import EventFilter
from bankctl.client.http import Transport
from bankctl.client.long_answers import OnProgress, fetch_with_progress
from bankctl.client.pages import iterate


class Events:
    """What happened, as it happens or from the history."""

    def __init__(self, http: Transport) -> None:
        self.http = http

    def history(
        self, wanted: EventFilter, *, first: str | None = None, order: str, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Past events, none before the event `first`."""
        params = {**wanted.params(), "from": first, "order": order}
        return iterate(self.http, "/events/history", params=params, limit=limit)

    def show(self, event_id: str) -> dict[str, Any]:
        """One event, by its id."""
        event: dict[str, Any] = self.http.request("GET", f"/events/{event_id}").data
        return event

    def summary(self, window_seconds: int) -> dict[str, Any]:
        """Rates, failures and what waits to be consumed and delivered."""
        params = {"window": window_seconds}
        summary: dict[str, Any] = self.http.request("GET", "/events/summary", params=params).data
        return summary

    def latest_position(self) -> int:
        """The position of the newest event, 0 if there is none yet."""
        newest = next(self.history(EventFilter(), order="desc", limit=1), None)
        return int(newest["position"]) if newest else 0

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids, at most 500, under which the notifier has recorded no event."""
        found: list[str] = self.http.request(
            "POST", "/events/missing", body={"ids": list(ids)}, repeatable=True
        ).data["missing"]
        return found

    def proof(
        self,
        *,
        on_progress: OnProgress,
        since: str | None = None,
        until: str | None = None,
        after: int | None = None,
        parts: str | None = None,
    ) -> dict[str, Any]:
        """What the notifier holds of the ledger's events of these times, and what is wrong with it.

        The log is read behind the position `after`.
        """
        params = {"since": since, "until": until, "after": after, "parts": parts}
        return fetch_with_progress(self.http, "/events/proof", on_progress=on_progress, params=params)
