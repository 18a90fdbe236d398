"""Accounts (banking_api). Amounts are `{"amount": "12.34", "currency": "EUR"}`, never floats."""

from collections.abc import Iterator
from typing import Any

from bankctl.client.http import Answer, Transport
from bankctl.client.pages import iterate


class Accounts:
    """Open, look at, freeze and close accounts."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def open(self, *, account_type: str, currency: str, name: str | None, idempotency_key: str) -> Answer:
        """Open an account of one's own, once however often this is called with the same key."""
        body = {"type": account_type, "currency": currency, **({"name": name} if name else {})}
        return self._http.request("POST", "/accounts", body=body, idempotency_key=idempotency_key)

    def overview(self, user_id: str) -> list[dict[str, Any]]:
        """A customer's accounts with their newest transactions, other parties masked, for support staff."""
        found: list[dict[str, Any]] = self._http.request("GET", f"/accounts/view-as/{user_id}").data["items"]
        return found

    def list(
        self, *, scope: str, status: str | None, owner_id: str | None, limit: int | None
    ) -> Iterator[dict[str, Any]]:
        """Accounts, one's own or (for support staff) all."""
        params = {"scope": scope, "status": status, "owner_id": owner_id}
        return iterate(self._http, "/accounts", params=params, limit=limit)

    def show(self, account_id: str) -> dict[str, Any]:
        """One AccountView."""
        account: dict[str, Any] = self._http.request("GET", f"/accounts/{account_id}").data
        return account

    def balance(self, account_id: str) -> dict[str, Any]:
        """What the account holds now."""
        found: dict[str, Any] = self._http.request("GET", f"/accounts/{account_id}/balance").data
        return found

    def statement(self, account_id: str, *, limit: int | None) -> Iterator[dict[str, Any]]:
        """What moved on the account, newest first; amounts are signed from its view."""
        return iterate(self._http, f"/accounts/{account_id}/transactions", params={}, limit=limit)

    def change(self, account_id: str, act: str, **body: str | None) -> dict[str, Any]:
        """Change an account: `act` is freeze, unfreeze, type or close."""
        present = {name: value for name, value in body.items() if value is not None}
        account: dict[str, Any] = self._http.request(
            "PATCH", f"/accounts/{account_id}/{act}", body=present
        ).data
        return account

    def rename(self, account_id: str, name: str | None) -> dict[str, Any]:
        """Give an account another name, or none."""
        account: dict[str, Any] = self._http.request(
            "PATCH", f"/accounts/{account_id}/name", body={"name": name}
        ).data
        return account
