"""Checkpoints of the journal, receipts of transactions, and the keys that sign them (banking_api)."""

from collections.abc import Iterator, Sequence
from typing import Any

from bankctl.client.http import Transport
from bankctl.client.pages import iterate

_PATH = "/ledger/checkpoints"


class Checkpoints:
    """What the bank has signed of its journal."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def list(self, *, limit: int | None) -> Iterator[dict[str, Any]]:
        """The checkpoints, newest first."""
        return iterate(self._http, _PATH, params={}, limit=limit)

    def show(self, number: int) -> dict[str, Any]:
        """One checkpoint."""
        found: dict[str, Any] = self._http.request("GET", f"{_PATH}/{number}").data
        return found

    def keys(self) -> Sequence[str]:
        """The public keys that sign or have signed, the present one first."""
        found: Sequence[str] = self._http.request("GET", "/ledger/checkpoint-keys").data["keys"]
        return found

    def consistency(self, one: int, other: int) -> dict[str, Any] | None:
        """The proof that the journals of two sizes are one; None if there is nothing to prove."""
        older, newer = sorted((one, other))
        if older == newer:
            return None
        params = {"older": older, "newer": newer}
        found: dict[str, Any] = self._http.request("GET", "/ledger/consistency", params=params).data
        return found

    def receipt(self, transaction_id: str, *, since: int | None) -> dict[str, Any]:
        """The receipt of a transaction; `since` is the size of a checkpoint that one holds."""
        path = f"/transactions/{transaction_id}/receipt"
        made: dict[str, Any] = self._http.request("POST", path, body={"since": since}, repeatable=True).data
        return made
