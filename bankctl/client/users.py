"""Users and sessions (user_api)."""

from collections.abc import Iterator
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate


class Users:
    """Registration, login, sessions, and for support staff the list of users."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def register(self, *, email: str, display_name: str, password: str) -> dict[str, Any]:
        """Become a user; returns the UserView."""
        body = {"email": email, "display_name": display_name, "password": password}
        user: dict[str, Any] = self._http.request("POST", "/users", body=body).data
        return user

    def confirm(self, *, email: str, code: str, password: str) -> dict[str, Any]:
        """Confirm the address of a registration; returns the UserView."""
        body = {"email": email, "code": code, "password": password}
        user: dict[str, Any] = self._http.request("POST", "/users/confirm", body=body).data
        return user

    def ask_for_confirmation(self) -> None:
        """Have the code mailed that confirms the caller's address."""
        self._http.request("POST", "/users/me/confirmation", repeatable=True)

    def login(self, *, email: str, password: str, totp: str | None = None) -> dict[str, Any]:
        """Begin a session; returns `{user, session}`. `totp` is a code of the second factor."""
        body = {"email": email, "password": password}
        if totp is not None:
            body["totp"] = totp
        # A second login harms nobody: the first one's session simply stays unused.
        answer = self._http.request(
            "POST", "/auth/login", body=body, headers=self._http.credentials.device_header(), repeatable=True
        )
        found: dict[str, Any] = answer.data
        return found

    def me(self) -> dict[str, Any]:
        """The caller's UserView."""
        user: dict[str, Any] = self._http.request("GET", "/users/me").data
        return user

    def my_data(self) -> dict[str, Any]:
        """All that user_api holds about the caller."""
        found: dict[str, Any] = self._http.request("GET", "/users/me/data").data
        return found

    def logout(self) -> None:
        """End this session."""
        self._http.request("POST", "/auth/logout", repeatable=True)

    def current(self) -> dict[str, Any]:
        """`{user, session}` of this session."""
        found: dict[str, Any] = self._http.request("GET", "/auth/session").data
        return found

    def sessions(self) -> list[dict[str, Any]]:
        """All living sessions of the user."""
        found: list[dict[str, Any]] = self._http.request("GET", "/auth/sessions").data["items"]
        return found

    def end_session(self, session_id: str) -> None:
        """End one session."""
        self._http.request("DELETE", f"/auth/sessions/{session_id}", repeatable=True)

    def change_password(self, *, current: str, new: str, end_other_sessions: bool) -> None:
        """Change the password."""
        body = {"current_password": current, "new_password": new, "end_other_sessions": end_other_sessions}
        self._http.request("POST", "/auth/change-password", body=body)

    def list(self, *, email: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        """All users, for support staff."""
        return iterate(self._http, "/users", params={"email": email}, limit=limit)

    def erase(self, user_id: str, *, reason: str) -> dict[str, Any]:
        """Ask for a customer's personal data to be erased; returns the request for approval."""
        asked: dict[str, Any] = self._http.request(
            "POST", f"/users/{user_id}/erase", body={"reason": reason}
        ).data
        return asked

    def enrolment_code(self, user_id: str, *, reason: str) -> dict[str, Any]:
        """A code with which one of the staff enrols their first second factor, for administrators."""
        code: dict[str, Any] = self._http.request(
            "POST", f"/users/{user_id}/enrolment-code", body={"reason": reason}
        ).data
        return code

    def view_as(self, user_id: str, *, reason: str) -> dict[str, Any]:
        """Begin to look at the bank as this customer; returns the user, masked."""
        user: dict[str, Any] = self._http.request(
            "POST", f"/users/{user_id}/view-as", body={"reason": reason}, acts=False
        ).data
        return user

    def set_role(self, user_id: str, *, role: str, reason: str) -> dict[str, Any]:
        """Give a user a role, for administrators."""
        body = {"role": role, "reason": reason}
        user: dict[str, Any] = self._http.request("PATCH", f"/users/{user_id}/role", body=body).data
        return user

    def reset_second_factor(self, user_id: str, *, reason: str) -> dict[str, Any]:
        """Ask for a user's lost second factor to be removed, for administrators; returns the ApprovalView."""
        body = {"reason": reason}
        path = f"/users/{user_id}/reset-second-factor"
        asked: dict[str, Any] = self._http.request("PATCH", path, body=body).data
        return asked

    def set_locked(self, user_id: str, *, locked: bool, reason: str) -> dict[str, Any]:
        """Lock a user out or let them in again, for administrators."""
        act = "lock" if locked else "unlock"
        body = {"reason": reason}
        user: dict[str, Any] = self._http.request("PATCH", f"/users/{user_id}/{act}", body=body).data
        return user
