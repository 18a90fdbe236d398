"""Transfers and transactions (banking_api)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bankctl.client import fast_json
from bankctl.client.http import Answer, Transport
from bankctl.client.long_answers import OnProgress, fetch_with_progress
from bankctl.client.pages import iterate
from daemons.contracts.names import PAYMENT_CONFIRMATION_HEADER


class Transactions:
    """Transfer money, and look at what was transferred."""

    def __init__(self, http: Transport) -> None:
        self._http = http

    def preview(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What the transfer would do; writes nothing, so it may be repeated."""
        found: dict[str, Any] = self._http.request(
            "POST", "/transactions/preview", body=dict(request), repeatable=True, acts=False
        ).data
        return found

    def move(
        self, path: str, request: Mapping[str, Any], *, idempotency_key: str, confirmation: str | None = None
    ) -> Answer:
        """Transfer or fund once, however often this is called with the same key.

        `confirmation` is what the bank gave for a code of the second factor.
        """
        headers = _confirmed_by(confirmation)
        return self._http.request(
            "POST", path, body=dict(request), headers=headers, idempotency_key=idempotency_key
        )

    def batch(
        self,
        transfers: Sequence[Mapping[str, Any]],
        *,
        after: str | None = None,
        atomic: bool = False,
        confirmation: str | None = None,
    ) -> Answer:
        """Transfer many, each with its own key; each has its own outcome, and of its transaction the id.

        `after` is the last key of a batch that was sent before and is not answered yet: nothing of this one
        is done unless all of that one is settled. If `atomic`, all are paid or none is. `confirmation` is as
        for `move`.
        """
        body: dict[str, Any] = {"transfers": transfers}
        if after is not None:
            body["after"] = after
        if atomic:
            body["atomic"] = True
        return self._http.request(
            "POST",
            "/transactions/batch",
            body=fast_json.encode(body),
            headers={"Prefer": "return=minimal", **_confirmed_by(confirmation)},
            decode=fast_json.decode,
            repeatable=True,
        )

    def preview_batch(
        self, transfers: Sequence[Mapping[str, Any]], *, carried: Mapping[str, str]
    ) -> dict[str, Any]:
        """What a batch would do now; writes nothing.

        `carried` is what the slices before this one would do to accounts, as the last answer had it.
        """
        found: dict[str, Any] = self._http.request(
            "POST",
            "/transactions/batch/preview",
            body=fast_json.encode({"transfers": transfers, "carried": carried}),
            decode=fast_json.decode,
            repeatable=True,
        ).data
        return found

    def show(self, transaction_id: str) -> dict[str, Any]:
        """One TransactionView."""
        found: dict[str, Any] = self._http.request("GET", f"/transactions/{transaction_id}").data
        return found

    def explain(self, transaction_id: str) -> dict[str, Any]:
        """What banking_api knows of how a transaction came about: checks, entries, seal."""
        found: dict[str, Any] = self._http.request("GET", f"/transactions/{transaction_id}/explanation").data
        return found

    def list(self, *, scope: str, status: str | None, limit: int | None) -> Iterator[dict[str, Any]]:
        """Transactions that one began, or (for support staff) all; newest first."""
        params = {"scope": scope, "status": status}
        return iterate(self._http, "/transactions", params=params, limit=limit)

    def republish(self, ids: Sequence[str], *, reason: str) -> int:
        """Let the events of these transactions, at most 500, go out again; returns how many did."""
        body = {"transaction_ids": list(ids), "reason": reason}
        return int(
            self._http.request("POST", "/ledger/events/republish", body=body, repeatable=True).data["events"]
        )

    def give_up_events(self, ids: Sequence[str], *, reason: str) -> None:
        """Give up as lost these events, at most 500, which the database does not know."""
        body = {"event_ids": list(ids), "reason": reason}
        self._http.request("POST", "/ledger/events/give-up", body=body, repeatable=True)

    def outbox(self) -> dict[str, Any]:
        """What waits to be published, and who publishes."""
        found: dict[str, Any] = self._http.request("GET", "/ledger/outbox").data
        return found

    def ledger_proof(
        self,
        *,
        on_progress: OnProgress,
        since: str | None = None,
        until: str | None = None,
        parts: str | None = None,
    ) -> dict[str, Any]:
        """Whether every balance is the fold of its entries and all currencies sum to zero."""
        params = {"since": since, "until": until, "parts": parts}
        return fetch_with_progress(self._http, "/ledger/proof", on_progress=on_progress, params=params)

    def prove_and_sign(self, *, since: int | None, on_progress: OnProgress) -> dict[str, Any]:
        """The same, of which the bank signs the journal's end if it holds.

        It goes on from an earlier proof, by the size of its checkpoint, if the bank still can.
        """
        body = {"since": since}
        return fetch_with_progress(self._http, "/ledger/proof", on_progress=on_progress, body=body)

    def rebuild_accounts(self, *, reason: str, on_progress: OnProgress) -> dict[str, Any]:
        """Have the collection of accounts rebuilt from the journal; returns what was otherwise."""
        return fetch_with_progress(
            self._http, "/ledger/accounts/rebuild", on_progress=on_progress, body={"reason": reason}
        )


def _confirmed_by(confirmation: str | None) -> dict[str, str]:
    return {} if confirmation is None else {PAYMENT_CONFIRMATION_HEADER: confirmation}
