"""Acts that wait for a second person: `ledger` are banking_api's, `users` are user_api's."""

from collections.abc import Iterator
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate
from bankctl.errors import CliError, ExitStatus

AREAS = ("ledger", "users")


class Approvals:
    """Lists, shows and decides requests; callers need not know which daemon stores one."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(self, area: str, *, status: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        """The requests of one daemon, newest first."""
        return iterate(self._http, f"/approvals/{area}", params={"status": status}, limit=limit)

    def show(self, request_id: str) -> dict[str, Any]:
        """One request."""
        return self._find(request_id)[1]

    def approve(self, request_id: str) -> dict[str, Any]:
        """Carry a request out."""
        area, _ = self._find(request_id)
        done: dict[str, Any] = self._http.request("POST", f"/approvals/{area}/{request_id}/approve").data
        return done

    def reject(self, request_id: str, *, reason: str) -> dict[str, Any]:
        """Refuse a request."""
        area, _ = self._find(request_id)
        done: dict[str, Any] = self._http.request(
            "POST", f"/approvals/{area}/{request_id}/reject", body={"reason": reason}
        ).data
        return done

    def policy(self, area: str) -> dict[str, Any]:
        """Which acts of one daemon wait, and what one person may do in a day."""
        found: dict[str, Any] = self._http.request("GET", f"/approvals/{area}/policy").data
        return found

    def _find(self, request_id: str) -> tuple[str, dict[str, Any]]:
        missing: CliError | None = None
        for area in AREAS:
            try:
                return area, self._http.request("GET", f"/approvals/{area}/{request_id}").data
            except CliError as error:
                if error.exit_status is not ExitStatus.NOT_FOUND:
                    raise
                missing = error
        raise missing or AssertionError("there are areas")
