"""A bank that plays the HTTP rules of the daemons, in memory; its hooks make it misbehave."""

import json
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from daemons.contracts.vocabulary import batch_digest

ANN, BOB = "4000000006", "1234567894"
NOW = "2026-11-23T05:34:42.123Z"
KEY = "bk_" + "k" * 43
WEBHOOK_SECRET = "whsec_" + "w" * 32
BANK_ID = "6a3f1f3e-5f0c-4c55-9d53-0a4c1b8f7c11"
USER = "0190a1b2-0000-7000-8000-000000000001"


REPLAYED = {"Idempotent-Replayed": "true"}


def event_set(count: int = 2, part: str = "ab") -> dict[str, Any]:
    """A set of events as the daemons tell it; all that differs is in the first part of the ids."""
    digest = part.rjust(32, "0")
    return {"count": count, "digest": digest, "parts": digest + "0" * 32 * 255, "named": []}


class ProblemError(Exception):
    """A refusal in the bank's own form."""

    def __init__(
        self,
        status: int,
        code: str,
        category: str,
        detail: str = "refused",
        *,
        replayed: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.headers = REPLAYED if replayed else {}
        self.document = {"code": code, "category": category, "detail": detail, **more}


class CutLineError(Exception):
    """The line is to be cut without an answer."""


class Request:
    """One request as the bank sees it."""

    def __init__(self, method: str, target: str, headers: Any, body: bytes) -> None:
        parts = urlsplit(target)
        self.method, self.path, self.headers = method, parts.path, headers
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.raw = body
        self.body = json.loads(body) if body else None
        self.key = headers.get("Idempotency-Key")


class Lines(list[dict[str, Any]]):
    """An answer that comes line by line; then the line is closed, whether or not that was all."""


Hook = Callable[[Request], None]
Answer = tuple[int, Any, dict[str, str | list[str]]]


class Bank:
    """Two accounts, one user, and the transfers between them; `hooks` run before, `after_hooks` after."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.arrivals = threading.Condition(self.lock)
        self.requests: list[Request] = []
        self.keyed: set[tuple[str, str]] = set()
        self.hooks: list[Hook] = []
        self.after_hooks: list[Hook] = []
        self.role = "admin"
        self.bank_id = BANK_ID
        self.names = {ANN: "Ann Lee", BOB: "Bob [/] Ray"}
        self.balances = {ANN: Decimal("1000.00"), BOB: Decimal("0.00")}
        self.settled: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self.checkpoint: dict[str, Any] | None = None
        self.stored_checkpoints: list[dict[str, Any]] = []
        """What it has signed so far."""
        self.goes_on_after = 0
        self.goes_on = True
        """Whether it still has what earlier proofs left."""
        self.checkpoint_keys: list[str] = []
        self.consistency: dict[str, Any] = {}
        self.explanations: dict[str, dict[str, Any]] = {}
        self.deliveries: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.searches: list[dict[str, str]] = []
        """The queries of histories."""
        self.rebuilt = {"accounts": 3, "changed": 0, "removed": 0}
        self.outbox_pending = [0]
        self.outbox: dict[str, Any] = {
            "pending_events": 3,
            "pending_commits": 2,
            "oldest_at": NOW,
            "oldest_age_seconds": 1.5,
            "unknown_events": [],
            "relay": {"lease_holder": USER, "lease_until": NOW, "address": "127.0.0.1:9", "failure": None},
        }
        self.event_proofs: list[dict[str, Any]] = []
        self.deliveries_proof = {"settled": 2, "given_up": 0, "tried": 1, "astray": 0}
        self.proof_lines: list[dict[str, Any]] | None = None
        """What comes after the progress; None to answer at once."""
        self.ledger_proof_changes: dict[str, Any] = {}
        self.audit_faults: dict[str, list[dict[str, Any]]] = {}
        self.cookie = "signed.token.one"
        self.refresh_cookie = "refresh-one"
        self.cookie_seconds = 600
        self.exchanges = 0
        self.totp: str | None = None
        self.confirm_above: Decimal | None = None
        self.confirmations: dict[str, dict[str, Any]] = {}
        """What each confirmation is of."""
        self.batch_is_confirmed = False
        self.confirmation_required = False
        self.factor_removed = False
        self.api_key: str | None = None
        self.stopping = threading.Event()

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def sent(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def once(self, path: str, act: Callable[[Request], None], *, after: bool = False) -> None:
        """Run `act` on the next request to `path`."""
        self.times(1, path, act, after=after)

    def times(self, count: int, path: str, act: Callable[[Request], None], *, after: bool = False) -> None:
        """Run `act` on the next `count` requests to `path`."""
        left = [count]

        def hook(request: Request) -> None:
            if request.path == path and left[0] > 0:
                left[0] -= 1
                act(request)

        (self.after_hooks if after else self.hooks).append(hook)

    def answer(self, request: Request) -> Answer:
        with self.lock:
            self.requests.append(request)
            self.arrivals.notify_all()
            for hook in list(self.hooks):
                hook(request)
            if request.method != "GET" and not request.headers.get("X-Requested-With"):
                raise ProblemError(403, "csrf_header_missing", "forbidden")
            status, body, headers = self._route(request)
            if request.key and request.path.endswith(("/accounts", "/fund", f"{ANN}/withdraw")):
                known = (request.path, request.key) in self.keyed
                self.keyed.add((request.path, request.key))
                headers = {**headers, **(REPLAYED if known else {})}
            for hook in list(self.after_hooks):
                hook(request)
            return status, body, headers

    def _route(self, request: Request) -> Answer:
        open_routes: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("POST", "/users"): lambda r: (
                201,
                {
                    **self._user(),
                    "email": r.body["email"],
                    "confirmation_required": self.confirmation_required,
                },
                {},
            ),
            ("POST", "/users/confirm"): lambda r: (200, {**self._user(), "email": r.body["email"]}, {}),
            ("POST", "/auth/reset"): lambda _: (204, None, {}),
            ("POST", "/auth/reset/confirm"): self._reset_password,
            ("POST", "/auth/undo"): lambda _: (204, None, {}),
            ("POST", "/auth/totp/keep"): lambda _: (204, None, {}),
            ("POST", "/auth/totp/lost"): lambda _: (
                200,
                {"removable_at": NOW, "removed": self.factor_removed},
                {},
            ),
            ("POST", "/auth/login"): self._login,
            ("POST", "/auth/refresh"): self._refresh,
            ("GET", "/bank"): lambda _: (
                200,
                {"bank_id": self.bank_id, "batch_limit": 500, "atomic_limit": 4000},
                {},
            ),
            **{
                ("GET", f"/openapi/{name}.json"): lambda _: (200, {"info": {"version": "0.1.0"}}, {})
                for name in ("user_api", "banking_api", "notifier")
            },
        }
        routes: dict[tuple[str, str], Callable[[Request], Answer]] = {
            ("GET", "/auth/session"): lambda _: (200, {"user": self._user(), "session": self._session()}, {}),
            ("GET", "/auth/sessions"): lambda _: (200, {"items": [self._session()]}, {}),
            ("GET", "/users/me"): lambda _: (200, self._user(), {}),
            ("POST", "/users/me/confirmation"): lambda _: (204, None, {}),
            ("POST", "/auth/email"): self._ask_for_email,
            ("POST", "/auth/email/confirm"): lambda _: (
                200,
                {**self._user(), "email": "ann.lee@example.com"},
                {},
            ),
            ("POST", "/auth/name"): lambda r: (
                200,
                {**self._user(), "display_name": r.body["display_name"]},
                {},
            ),
            ("DELETE", "/auth/sessions"): lambda _: (204, None, {}),
            ("POST", "/auth/totp"): lambda _: (
                201,
                {"secret": "JBSWY3DPEHPK3PXP", "otpauth_uri": "otpauth://totp/bankctl:ann?secret=JBSW"},
                {},
            ),
            ("POST", "/auth/totp/confirm"): self._confirm_totp,
            ("POST", "/auth/totp/remove"): lambda _: (204, None, {}),
            ("GET", "/auth/tokens"): lambda _: (200, {"items": [self._api_key()]}, {}),
            ("POST", "/auth/tokens"): self._make_key,
            ("POST", "/webhooks"): lambda request: (
                201,
                {"id": USER, **(request.body or {}), "secret": WEBHOOK_SECRET},
                {},
            ),
            ("POST", "/auth/logout"): lambda _: (
                204,
                None,
                {"Set-Cookie": "__Host-bankctl=; Path=/; Secure; Max-Age=0"},
            ),
            ("POST", "/accounts"): lambda _: (201, self._account(ANN), {}),
            ("GET", "/accounts"): lambda _: (
                200,
                {
                    "items": [self._account(one) for one in (ANN, BOB) if one in self.balances],
                    "next_cursor": None,
                },
                {},
            ),
            ("POST", "/auth/payment-confirmations"): self._confirm_payments,
            ("POST", "/transactions/preview"): lambda r: (200, self._preview(r.body), {}),
            ("POST", "/transactions/transfer"): self._transfer,
            ("POST", "/transactions/withdraw"): self._transfer,
            ("POST", "/transactions/batch"): self._take_batch,
            ("POST", "/transactions/batch/preview"): lambda r: (200, self._preview_batch(r.body), {}),
            ("GET", "/ledger/proof"): self._prove_ledger,
            ("POST", "/ledger/proof"): self._prove_and_sign,
            ("GET", "/ledger/checkpoints"): lambda _: (
                200,
                {"items": sorted(self.stored_checkpoints, key=_size_of, reverse=True), "next_cursor": None},
                {},
            ),
            ("GET", "/ledger/checkpoint-keys"): lambda _: (200, {"keys": self.checkpoint_keys}, {}),
            ("GET", "/ledger/consistency"): lambda _: (200, self.consistency, {}),
            ("GET", "/ledger/outbox"): lambda _: (200, self.outbox, {}),
            ("POST", "/ledger/accounts/rebuild"): lambda _: (200, dict(self.rebuilt), {}),
            ("POST", "/ledger/events/give-up"): lambda r: (200, {"given_up": r.body["event_ids"]}, {}),
            ("GET", "/events/proof"): lambda _: (200, self._event_proof(), {}),
            ("GET", "/events/history"): self._history,
            ("GET", "/events/summary"): lambda _: (200, self.summary, {}),
            ("GET", "/deliveries"): lambda _: (200, {"items": self.deliveries, "next_cursor": None}, {}),
            ("GET", "/audit/ledger/proof"): self._audit_proof,
            ("GET", "/audit/users/proof"): self._audit_proof,
            ("GET", "/audit/events/proof"): self._audit_proof,
        }
        route = (request.method, request.path)
        if route in open_routes:
            return open_routes[route](request)
        by_key = self.api_key is not None and request.headers.get("Authorization") == f"Bearer {self.api_key}"
        if not by_key and request.headers.get("Cookie") != f"__Host-bankctl={self.cookie}":
            raise ProblemError(401, "not_signed_in", "unauthenticated", "nobody is signed in")
        if route in routes:
            return routes[route](request)
        if request.path.startswith("/events/") or request.path.endswith("/explanation"):
            return 200, self._looked_up(request.path), {}
        if request.path.startswith("/accounts/"):
            return self._account_route(request)
        if request.method == "GET" and request.path.startswith("/transactions/"):
            wanted = request.path.removeprefix("/transactions/")
            found = [kept for _, _, kept in self.settled.values() if kept["id"] == wanted]
            if found:
                taken_back = {"amount": "0.00", "currency": "EUR"}
                return 200, {**found[0], "taken_back": taken_back, "follow_ups": []}, {}
        if request.path.endswith("/reverse"):
            original = request.path.split("/")[2]
            return 201, self._transaction({**request.body, "reverses": original}, "completed", None), {}
        raise ProblemError(404, "route_not_found", "not_found", "no such route")

    def _user(self) -> dict[str, Any]:
        return {
            "id": USER,
            "email": "ann@example.com",
            "email_confirmed": True,
            "display_name": self.names[ANN],
            "role": self.role,
            "locked": False,
            "created_at": NOW,
        }

    def _session(self) -> dict[str, Any]:
        return {
            "id": "0190a1b2-0000-7000-8000-0000000000aa",
            "created_at": NOW,
            "last_seen_at": NOW,
            "expires_at": (datetime.now(UTC) + timedelta(hours=8)).isoformat(),
            "address": "127.0.0.1",
            "device": "bankctl",
            "current": True,
        }

    def _login(self, request: Request) -> Answer:
        if request.body["password"] != "correct horse":
            raise ProblemError(401, "invalid_credentials", "unauthenticated", "wrong address or password")
        self._check_code(request)
        status, body, headers = self._signed_in()
        headers["Set-Cookie"].append("__Host-bankctl-device=known.here; Max-Age=1000; Path=/; Secure")
        return status, body, headers

    def _check_code(self, request: Request) -> None:
        if self.totp is not None and request.body.get("totp") != self.totp:
            code = "invalid_totp" if "totp" in request.body else "totp_required"
            raise ProblemError(401, code, "unauthenticated")

    def _ask_for_email(self, request: Request) -> Answer:
        self._check_code(request)
        return 204, None, {}

    def _reset_password(self, request: Request) -> Answer:
        if request.body["code"] != "ABCD-EFGH-IJKL-MNOP":
            raise ProblemError(401, "invalid_code", "unauthenticated")
        self._check_code(request)
        return 204, None, {}

    def _make_key(self, request: Request) -> Answer:
        self._check_code(request)
        made = {"key": self._api_key(), "token": KEY}
        if "approve_acts" in request.body.get("scopes", ()):
            return 202, {**made, "approval": {"id": USER}}, {}
        return 201, made, {}

    def _confirm_payments(self, request: Request) -> Answer:
        if self.totp is None:
            raise ProblemError(409, "totp_not_active", "conflict")
        self._check_code(request)
        tokens = [f"confirmed-{len(self.confirmations) + n}" for n in range(len(request.body["payments"]))]
        self.confirmations.update(zip(tokens, request.body["payments"], strict=True))
        return 201, {"confirmations": tokens, "expires_at": NOW}, {}

    def _unconfirmed(self, key: str, body: dict[str, Any], *, confirmed: bool) -> dict[str, Any] | None:
        """The refusal of a payment that must be confirmed; the played bank counts no day."""
        needed = self.confirm_above is not None and Decimal(body["amount"]) > self.confirm_above
        if key in self.settled or confirmed or not needed:
            return None
        return {"status": 403, "code": "payment_confirmation_required", "category": "forbidden"}

    def _confirm_totp(self, request: Request) -> Answer:
        if request.body["totp"] != "123456":
            raise ProblemError(401, "invalid_totp", "unauthenticated")
        return 200, {"recovery_codes": ["AAAA-BBBB-CCCC-DDDD", "EEEE-FFFF-GGGG-HHHH"]}, {}

    def _api_key(self) -> dict[str, Any]:
        return {
            "id": USER,
            "name": "ci",
            "scopes": ["use_own_accounts"],
            "created_at": NOW,
            "expires_at": NOW,
            "last_used_at": None,
            "budget": None,
        }

    def _refresh(self, request: Request) -> Answer:
        """Exchange the refresh cookie; an old one ends the session."""
        if request.headers.get("Cookie") != f"__Host-bankctl-refresh={self.refresh_cookie}":
            self.cookie = self.refresh_cookie = "ended"
            raise ProblemError(401, "session_ended", "unauthenticated")
        self.exchanges += 1
        self.cookie, self.refresh_cookie = f"renewed.{self.exchanges}", f"refresh-{self.exchanges}"
        return self._signed_in()

    def _signed_in(self) -> Answer:
        attributes = "Path=/; Secure; HttpOnly; SameSite=Strict"
        cookies = [
            f"__Host-bankctl={self.cookie}; Max-Age={self.cookie_seconds}; {attributes}",
            f"__Host-bankctl-refresh={self.refresh_cookie}; Max-Age=28800; {attributes}",
        ]
        return 200, {"user": self._user(), "session": self._session()}, {"Set-Cookie": cookies}

    def _transfer(self, request: Request) -> Answer:
        asked = {name: value for name, value in request.body.items() if name != "reference"}
        given = self.confirmations.get(request.headers.get("Payment-Confirmation", ""))
        confirmed = given == {**asked, "idempotency_key": request.key}
        if unconfirmed := self._unconfirmed(request.key, request.body, confirmed=confirmed):
            raise ProblemError(**unconfirmed)
        transaction, problem, replayed = self._settle(request.key, request.body)
        if problem:
            raise ProblemError(**problem, replayed=replayed)
        return 201, transaction, REPLAYED if replayed else {}

    def _looked_up(self, path: str) -> dict[str, Any]:
        wanted = path.split("/")[2]
        if path.startswith("/events/"):
            return next(event for event in self.events if event["id"] == wanted)
        return self.explanations[wanted]

    def _history(self, request: Request) -> Answer:
        newest_first = request.query.get("order") == "desc"
        found = sorted(self.events, key=lambda event: event["position"], reverse=newest_first)
        self.searches.append(request.query)
        return 200, {"items": found[: int(request.query["limit"])], "next_cursor": None}, {}

    def _event_proof(self) -> dict[str, Any]:
        told = self.event_proofs.pop(0) if len(self.event_proofs) > 1 else self.event_proofs[0]
        right = {"holds": True, "mismatch_count": 0, "mismatches": [], "deliveries": self.deliveries_proof}
        return {**right, "goes_on_after": self.goes_on_after, **told}

    def _audit_proof(self, request: Request) -> Answer:
        trail = request.path.split("/")[2]
        faults = self.audit_faults.get(trail, [])
        told = {"trail": trail, "holds": not faults, "head": {"count": 7, "hash": "a" * 64}}
        anchored = "count" in request.query
        return 200, {**told, "anchored": anchored, "fault_count": len(faults), "faults": faults}, {}

    def _account(self, number: str) -> dict[str, Any]:
        return {
            "id": number,
            "owner_id": USER,
            "name": self.names[number],
            "type": "checking",
            "status": "active",
            "balance": {"amount": str(self.balances[number]), "currency": "EUR"},
            "opened_at": NOW,
            "status_reason": None,
        }

    def _account_route(self, request: Request) -> Answer:
        number, _, rest = request.path.removeprefix("/accounts/").partition("/")
        if number not in self.balances:
            raise ProblemError(404, "account_not_found", "not_found", f"there is no account {number}")
        account = self._account(number)
        if rest == "balance":
            view = {"account_id": number, "balance": account["balance"], "status": "active"}
            return 200, {**view, "sequence": 1, "as_of": NOW}, {}
        if rest == "freeze":
            return 200, {**account, "status": "frozen", "status_reason": request.body["reason"]}, {}
        if rest == "name":
            return 200, {**account, "name": request.body["name"]}, {}
        if rest in {"fund", "withdraw", "adjust"}:
            return 201, self._transaction(request.body, "completed", None), {}
        return 200, account, {}

    def _transaction(
        self, body: dict[str, Any], status: str, failure: dict[str, Any] | None
    ) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "kind": "transfer",
            "status": status,
            "amount": {"amount": body["amount"], "currency": body["currency"]},
            "from_account": body.get("from_account"),
            "to_account": body.get("to_account"),
            "reference": body.get("reference"),
            "description": None,
            "corrects": None,
            "beneficiary": body.get("beneficiary"),
            "reverses": body.get("reverses"),
            "failure": failure,
            "initiated_by": USER,
            "created_at": NOW,
        }

    def _settle(self, key: str, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None, bool]:
        body = {name: value for name, value in body.items() if name != "idempotency_key"}
        if key in self.settled:
            stored, problem, transaction = self.settled[key]
            if stored != body:
                return (
                    transaction,
                    {"status": 422, "code": "idempotency_key_reused", "category": "rejected"},
                    False,
                )
            return transaction, problem, True
        amount = Decimal(body["amount"])
        problem = None
        if self.balances[body["from_account"]] < amount:
            failure = {"code": "insufficient_funds", "detail": "the account does not hold that much"}
            transaction = self._transaction(body, "failed", failure)
            problem = {
                "status": 422,
                "code": "insufficient_funds",
                "category": "rejected",
                "detail": failure["detail"],
                "details": {"transaction_id": transaction["id"]},
            }
        else:
            transaction = self._transaction(body, "completed", None)
            self.balances[body["from_account"]] -= amount
            if "to_account" in body:
                self.balances[body["to_account"]] += amount
        self.settled[key] = (body, problem, transaction)
        return transaction, problem, False

    def _preview(self, body: dict[str, Any]) -> dict[str, Any]:
        amount, held = Decimal(body["amount"]), self.balances[body["from_account"]]
        enough = held >= amount
        return {
            "from": {
                "account_id": body["from_account"],
                "display_name": self.names[body["from_account"]],
                "balance": {"amount": str(held), "currency": "EUR"},
                "balance_after": {"amount": str(held - amount), "currency": "EUR"},
            },
            "to": {"account_id": body["to_account"], "display_name": self.names[body["to_account"]]},
            "amount": {"amount": body["amount"], "currency": body["currency"]},
            "outcome": "completed" if enough else "failed",
            "failure": None if enough else {"code": "insufficient_funds", "detail": "not that much there"},
        }

    def _take_batch(self, request: Request) -> Answer:
        """Settle a batch unless the one that it follows is still to come."""
        if request.body.get("after", "") not in {"", *self.settled}:
            raise ProblemError(409, "batch_before_not_settled", "conflict")
        take = self.atomic_batch if request.body.get("atomic") else self.batch
        rows = request.body["transfers"]
        given = self.confirmations.get(request.headers.get("Payment-Confirmation", ""), {})
        self.batch_is_confirmed = given.get("digest") == batch_digest(rows) and given["rows"] == len(rows)
        return 200, {"results": take(rows)}, {}

    def atomic_batch(self, transfers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Settle all rows or none; without an effect, no key is used up."""
        known = [row["idempotency_key"] in self.settled for row in transfers]
        looked_at = self._preview_batch({"transfers": transfers, "carried": {}})["results"]
        for row, look in zip(transfers, looked_at, strict=True):
            key, confirmed = row["idempotency_key"], self.batch_is_confirmed
            look["problem"] = look["problem"] or self._unconfirmed(key, row, confirmed=confirmed)
        if all(known) or not (any(known) or any(row["problem"] for row in looked_at)):
            return self.batch(transfers)
        code = "atomic_batch_partly_known" if any(known) else "atomic_batch_refused"
        others = {"code": code, "category": "rejected", "detail": "nothing of this batch was done"}
        told = []
        for index, (row, is_known, look) in enumerate(zip(transfers, known, looked_at, strict=True)):
            if is_known:
                told.append({**self.batch([row])[0], "index": index})
                continue
            problem = look["problem"] or others
            told.append(
                {
                    "index": index,
                    "idempotency_key": row["idempotency_key"],
                    "outcome": "refused",
                    "replayed": False,
                    "transaction_id": None,
                    "transaction": None,
                    "problem": {"category": "rejected", **problem},
                }
            )
        return told

    def batch(self, transfers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for index, row in enumerate(transfers):
            key = row["idempotency_key"]
            problem = self._unconfirmed(key, row, confirmed=self.batch_is_confirmed)
            transaction, replayed = {"status": "refused"}, False
            if problem is None:
                transaction, problem, replayed = self._settle(key, row)
            outcome = transaction["status"]
            if problem and problem["code"] == "idempotency_key_reused":
                outcome, transaction = "refused", {}
            results.append(
                {
                    "index": index,
                    "idempotency_key": key,
                    "outcome": outcome,
                    "replayed": replayed,
                    "transaction_id": transaction.get("id"),
                    "transaction": None,
                    "problem": problem,
                }
            )
        return results

    def _preview_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        """Decide each row on the balances and on what is carried; no key is used."""
        carried = {account: Decimal(change) for account, change in body["carried"].items()}
        results = []
        for index, row in enumerate(body["transfers"]):
            kept = self.settled.get(row["idempotency_key"])
            sender, receiver, amount = row["from_account"], row["to_account"], Decimal(row["amount"])
            after = self.balances.get(sender, Decimal(0)) + carried.get(sender, 0) - amount
            problem = None if after >= 0 else {"code": "insufficient_funds", "detail": "not that much there"}
            if kept is not None:
                problem = kept[1]
            elif problem is None:
                carried[sender] = carried.get(sender, Decimal(0)) - amount
                carried[receiver] = carried.get(receiver, Decimal(0)) + amount
            money = {"amount": str(after), "currency": "EUR"}
            results.append(
                {
                    "index": index,
                    "idempotency_key": row["idempotency_key"],
                    "outcome": "completed" if problem is None else "failed",
                    "replayed": kept is not None,
                    "from": {
                        "account_id": sender,
                        "display_name": self.names.get(sender),
                        "balance_after": money if problem is None and kept is None else None,
                    },
                    "to": {"account_id": receiver, "display_name": self.names.get(receiver)},
                    "transaction_id": kept[2]["id"] if kept is not None else None,
                    "settled_at": NOW if kept is not None else None,
                    "problem": problem,
                }
            )
        return {"results": results, "carried": {account: str(change) for account, change in carried.items()}}

    def _prove_ledger(self, request: Request) -> Answer:
        if self.proof_lines is None or "application/x-ndjson" not in request.headers["Accept"]:
            return 200, self._ledger_proof(), {}
        told = [{"progress": {"phase": "journal", "done": done, "total": 2}} for done in (0, 2)]
        return 200, Lines([*told, *self.proof_lines]), {}

    def _prove_and_sign(self, request: Request) -> Answer:
        status, proof, headers = self._prove_ledger(request)
        if self.checkpoint is not None and self.checkpoint not in self.stored_checkpoints:
            self.stored_checkpoints.append(self.checkpoint)
        return (
            status,
            proof
            if isinstance(proof, Lines)
            else {**proof, "checkpoint": self.checkpoint, **self._since(request.body.get("since"))},
            headers,
        )

    def _since(self, size: int | None) -> dict[str, Any]:
        known = [one for one in self.stored_checkpoints if one["size"] == size and self.goes_on]
        return {"since": known[0] if known else None, "events_since": NOW if known else None}

    def _ledger_proof(self) -> dict[str, Any]:
        pending = self.outbox_pending.pop(0) if len(self.outbox_pending) > 1 else self.outbox_pending[0]
        return {
            "holds": True,
            "currencies": [{"currency": "EUR", "sum_minor": "0", "accounts": 3, "entries": 4}],
            "accounts": 3,
            "journal_transactions": 2,
            "completed": 2,
            "failed": 0,
            "mismatch_count": 0,
            "mismatches": [],
            "outbox_pending": pending,
            "as_of": NOW,
            "events": event_set(),
            **self.ledger_proof_changes,
        }


def _size_of(checkpoint: dict[str, Any]) -> int:
    return int(checkpoint["size"])
