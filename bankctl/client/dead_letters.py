"""Records that the notifier could not decode: looked at by support staff, replayed by operators."""

from collections.abc import Iterator
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate

_PATH = "/dead-letters"


class DeadLetters:
    """Lists, shows and replays; replaying twice is as good as once."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(self, *, topic: str | None, status: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        """The letters, newest first, without their content."""
        return iterate(self._http, _PATH, params={"topic": topic, "status": status}, limit=limit)

    def intake(self) -> dict[str, Any]:
        """Whether more would be set aside, and the limit."""
        found: dict[str, Any] = self._http.request("GET", _PATH, params={"limit": 1}).data["intake"]
        return found

    def show(self, letter_id: str) -> dict[str, Any]:
        """One letter with the record as it came."""
        found: dict[str, Any] = self._http.request("GET", f"{_PATH}/{letter_id}").data
        return found

    def replay(self, letter_id: str) -> dict[str, Any]:
        """One letter after it was replayed."""
        done: dict[str, Any] = self._http.request("POST", f"{_PATH}/{letter_id}/replay", repeatable=True).data
        return done

    def replay_open(self, *, topic: str | None) -> Iterator[dict[str, Any]]:
        """Replay all open letters, oldest first; yields how each step came out."""
        after: str | None = None
        while True:
            body = {"topic": topic, "after": after}
            done: dict[str, Any] = self._http.request(
                "POST", f"{_PATH}/replay", body=body, repeatable=True
            ).data
            yield done
            after = done["last"]
            if after is None:
                return

    def resume(self, *, reason: str) -> dict[str, Any]:
        """Let letters be set aside again; returns the intake."""
        done: dict[str, Any] = self._http.request(
            "POST", f"{_PATH}/resume", body={"reason": reason}, repeatable=True
        ).data
        return done
