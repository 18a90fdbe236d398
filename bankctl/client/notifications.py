"""Notifications (notifier): staff's, a user's own, and what the user wants to hear of."""

from collections.abc import Iterator, Mapping
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate

_PREFERENCES = "/notifications/preferences"


class Notifications:
    """Reads notices, reads and changes preferences."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def of_operations(self, *, severity: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        """Staff's notifications, newest first."""
        return iterate(self._http, "/notifications", params={"severity": severity}, limit=limit)

    def own(self, *, limit: int | None) -> Iterator[dict[str, Any]]:
        """What the user was told, newest first."""
        return iterate(self._http, "/notifications/own", params={}, limit=limit)

    def preferences(self) -> dict[str, Any]:
        """What the user wants to hear of."""
        found: dict[str, Any] = self._http.request("GET", _PREFERENCES).data
        return found

    def change_preferences(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change what is named, and return all as it is then."""
        changed: dict[str, Any] = self._http.request(
            "PATCH", _PREFERENCES, body=dict(change), repeatable=True
        ).data
        return changed

    def test(self) -> dict[str, Any]:
        """Owe the user a message; returns its delivery."""
        owed: dict[str, Any] = self._http.request("POST", "/notifications/test").data
        return owed
