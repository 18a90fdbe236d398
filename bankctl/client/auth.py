"""The caller's own access (user_api): sessions, second factor, API keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from bankctl.client.http import Transport
from daemons.contracts.names import Trail


class Auth:
    """What only the user themselves may change about how they sign in."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def ask_for_reset(self, *, email: str) -> None:
        """Have a code mailed for a new password."""
        self._http.request("POST", "/auth/reset", body={"email": email}, repeatable=True)

    def reset_password(self, *, email: str, code: str, new: str, totp: str | None = None) -> None:
        """Set a new password by the mailed code. `totp` is a code of the second factor."""
        body = {"email": email, "code": code, "new_password": new}
        if totp is not None:
            body["totp"] = totp
        self._http.request("POST", "/auth/reset/confirm", body=body)

    def ask_for_email(self, *, new: str, password: str, totp: str | None = None) -> None:
        """Have a code mailed to a new address. `totp` is a code of the second factor."""
        body = {"new_email": new, "password": password}
        if totp is not None:
            body["totp"] = totp
        self._http.request("POST", "/auth/email", body=body)

    def change_email(self, *, code: str) -> dict[str, Any]:
        """Change the address by the code that was mailed to it; returns the UserView."""
        user: dict[str, Any] = self._http.request("POST", "/auth/email/confirm", body={"code": code}).data
        return user

    def change_name(self, *, name: str, password: str) -> dict[str, Any]:
        """Change the name; returns the UserView."""
        body = {"display_name": name, "password": password}
        user: dict[str, Any] = self._http.request("POST", "/auth/name", body=body).data
        return user

    def undo(self, *, email: str, code: str) -> None:
        """Undo a change of address or name."""
        self._http.request("POST", "/auth/undo", body={"email": email, "code": code})

    def report_lost_totp(self, *, email: str, password: str) -> dict[str, Any]:
        """Begin to remove a lost second factor, or remove it; returns `{removable_at, removed}`."""
        body = {"email": email, "password": password}
        found: dict[str, Any] = self._http.request("POST", "/auth/totp/lost", body=body).data
        return found

    def keep_totp(self, *, email: str, code: str) -> None:
        """Stop the removal of the second factor."""
        self._http.request("POST", "/auth/totp/keep", body={"email": email, "code": code})

    def end_sessions(self, *, keep_current: bool) -> None:
        """End all sessions, or all but this one."""
        params = {"keep_current": "true"} if keep_current else {}
        self._http.request("DELETE", "/auth/sessions", params=params, repeatable=True)

    def accesses(self) -> list[dict[str, Any]]:
        """Which of the staff have read the caller's data, newest first."""
        found: list[dict[str, Any]] = []
        for area in Trail:
            found += self._http.request("GET", f"/accesses/{area}").data["items"]
        return sorted(found, key=lambda access: str(access["at"]), reverse=True)

    def begin_totp(self, *, password: str, enrolment_code: str | None = None) -> dict[str, Any]:
        """Begin to enrol; returns `{secret, otpauth_uri}`. A second time replaces the first."""
        body = {"password": password}
        if enrolment_code is not None:
            body["enrolment_code"] = enrolment_code
        found: dict[str, Any] = self._http.request("POST", "/auth/totp", body=body, repeatable=True).data
        return found

    def confirm_totp(self, *, code: str) -> dict[str, Any]:
        """Make the second factor count; returns `{recovery_codes}`."""
        found: dict[str, Any] = self._http.request("POST", "/auth/totp/confirm", body={"totp": code}).data
        return found

    def remove_totp(self, *, password: str, code: str) -> None:
        """Give the second factor up."""
        self._http.request("POST", "/auth/totp/remove", body={"password": password, "totp": code})

    def confirm_payments(
        self, payments: Sequence[Mapping[str, Any]], *, totp: str | None = None
    ) -> list[str]:
        """Confirm payments or batches by a code of the second factor; returns a confirmation of each."""
        body: dict[str, Any] = {"payments": list(payments)}
        if totp is not None:
            body["totp"] = totp
        answer = self._http.request("POST", "/auth/payment-confirmations", body=body, acts=False)
        confirmations: list[str] = answer.data["confirmations"]
        return confirmations

    def create_key(
        self,
        *,
        password: str,
        name: str,
        scopes: list[str],
        ends: Mapping[str, Any],
        budget: Mapping[str, Any] | None = None,
        totp: str | None = None,
    ) -> dict[str, Any]:
        """Make an API key; returns `{key, token}`, the token this once. A second factor asks for a code.

        `ends` is `{expires_in_days}` or `{expires_at}`.
        """
        body: dict[str, Any] = {"password": password, "name": name, "scopes": scopes, **ends}
        if budget is not None:
            body["budget"] = budget
        if totp is not None:
            body["totp"] = totp
        found: dict[str, Any] = self._http.request("POST", "/auth/tokens", body=body).data
        return found

    def keys(self) -> list[dict[str, Any]]:
        """The API keys that have not expired."""
        found: list[dict[str, Any]] = self._http.request("GET", "/auth/tokens").data["items"]
        return found

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key."""
        self._http.request("DELETE", f"/auth/tokens/{key_id}", repeatable=True)
