"""Webhooks: external programs that receive events; operators manage them."""

from collections.abc import Sequence
from typing import Any

from bankctl.client.http import Transport

_PATH = "/webhooks"


class Webhooks:
    """Adds, lists, rotates, tests and removes. What makes a secret is sent once only."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(self) -> Any:
        """All webhooks, oldest first, without their secrets."""
        return self._http.request("GET", _PATH).data["items"]

    def add(self, url: str, *, types: Sequence[str], reason: str) -> dict[str, Any]:
        """The new webhook with its secret."""
        body = {"url": url, "types": list(types), "reason": reason}
        added: dict[str, Any] = self._http.request("POST", _PATH, body=body).data
        return added

    def rotate(self, webhook_id: str, *, overlap_hours: int, reason: str) -> dict[str, Any]:
        """The webhook with its new secret."""
        body = {"overlap_hours": overlap_hours, "reason": reason}
        rotated: dict[str, Any] = self._http.request("POST", f"{_PATH}/{webhook_id}/rotate", body=body).data
        return rotated

    def test(self, webhook_id: str) -> dict[str, Any]:
        """Whether the receiver took a test."""
        tested: dict[str, Any] = self._http.request(
            "POST", f"{_PATH}/{webhook_id}/test", repeatable=True
        ).data
        return tested

    def remove(self, webhook_id: str, *, reason: str) -> None:
        """Remove a webhook."""
        self._http.request("POST", f"{_PATH}/{webhook_id}/remove", body={"reason": reason})
