"""A bank on loopback, over real TLS, that plays the HTTP rules of the gateway for the command line's tests."""

import json
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANN, BOB = "4000000006", "1234567894"
NOW = "2026-11-23T05:34:42.123Z"


def issue_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bankctl tests")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


class Problem(Exception):
    """A refusal in the bank's own form."""

    def __init__(self, status: int, code: str, category: str, detail: str = "refused", **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.document = {"code": code, "category": category, "detail": detail, **more}


class CutLine(Exception):
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


Hook = Callable[[Request], None]


class Bank:
    """Two accounts, one user, and the transfers between them; `hooks` run before, `after_hooks` after."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.hooks: list[Hook] = []
        self.after_hooks: list[Hook] = []
        self.role = "admin"
        self.names = {ANN: "Ann Lee", BOB: "Bob [/] Ray"}
        self.balances = {ANN: Decimal("1000.00"), BOB: Decimal("0.00")}
        self.settled: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []
        self.outbox_pending = [0]
        self.event_proofs: list[dict[str, Any]] = []
        self.ledger_proof_changes: dict[str, Any] = {}
        self.cookie = "signed.token.one"
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

    def answer(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        with self.lock:
            self.requests.append(request)
            for hook in list(self.hooks):
                hook(request)
            if request.method != "GET" and not request.headers.get("X-Requested-With"):
                raise Problem(403, "csrf_header_missing", "forbidden")
            found = self._route(request)
            for hook in list(self.after_hooks):
                hook(request)
            return found

    def _route(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        route = (request.method, request.path)
        user = {
            "id": "0190a1b2-0000-7000-8000-000000000001",
            "email": "ann@example.com",
            "display_name": self.names[ANN],
            "role": self.role,
            "locked": False,
            "created_at": NOW,
        }
        session = {
            "id": "s1",
            "created_at": NOW,
            "expires_at": (datetime.now(UTC) + timedelta(hours=8)).isoformat(),
            "address": "127.0.0.1",
            "device": "bankctl",
            "current": True,
        }
        if route == ("POST", "/users"):
            return 201, {**user, "email": request.body["email"]}, {}
        if route == ("POST", "/auth/login"):
            if request.body["password"] != "correct horse":
                raise Problem(401, "invalid_credentials", "unauthenticated", "wrong address or password")
            cookie = f"__Host-bankctl={self.cookie}; Path=/; Secure; HttpOnly; SameSite=Strict"
            return 200, {"user": user, "session": session}, {"Set-Cookie": cookie}
        if request.headers.get("Cookie") != f"__Host-bankctl={self.cookie}":
            raise Problem(401, "not_signed_in", "unauthenticated", "nobody is signed in")
        if route == ("GET", "/auth/session"):
            return 200, {"user": user, "session": session}, {}
        if route == ("GET", "/auth/sessions"):
            return 200, {"items": [session]}, {}
        if route == ("POST", "/auth/logout"):
            return 204, None, {"Set-Cookie": "__Host-bankctl=; Path=/; Secure; Max-Age=0"}
        if route == ("POST", "/accounts"):
            return 201, self._account(ANN), {}
        if route == ("GET", "/accounts"):
            return 200, {"items": [self._account(ANN), self._account(BOB)], "next_cursor": None}, {}
        if request.path.startswith("/accounts/"):
            return self._account_route(request)
        if route == ("POST", "/transactions/preview"):
            return 200, self._preview(request.body), {}
        if route == ("POST", "/transactions/transfer"):
            transaction, problem, replayed = self._settle(request.key, request.body)
            if problem:
                raise Problem(**problem)
            return 201, transaction, {"Idempotent-Replayed": "true"} if replayed else {}
        if route == ("POST", "/transactions/batch"):
            return 200, {"results": self._batch(request.body["transfers"])}, {}
        if route == ("GET", "/ledger/proof"):
            return 200, self._ledger_proof(), {}
        if route == ("GET", "/events/proof"):
            proof = self.event_proofs.pop(0) if len(self.event_proofs) > 1 else self.event_proofs[0]
            return 200, proof, {}
        if route == ("GET", "/events/history"):
            return 200, {"items": self.events, "next_cursor": None}, {}
        raise Problem(404, "route_not_found", "not_found", "no such route")

    def _account(self, number: str) -> dict[str, Any]:
        return {
            "id": number,
            "owner_id": "u1",
            "name": self.names[number],
            "type": "checking",
            "status": "active",
            "balance": {"amount": str(self.balances[number]), "currency": "EUR"},
            "opened_at": NOW,
            "status_reason": None,
        }

    def _account_route(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        number, _, rest = request.path.removeprefix("/accounts/").partition("/")
        if number not in self.balances:
            raise Problem(404, "account_not_found", "not_found", f"there is no account {number}")
        account = self._account(number)
        if rest == "balance":
            return 200, {"account_id": number, "balance": account["balance"], "status": "active"}, {}
        if rest == "freeze":
            return 200, {**account, "status": "frozen", "status_reason": request.body["reason"]}, {}
        if rest == "fund":
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
            "failure": failure,
            "initiated_by": "u1",
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

    def _batch(self, transfers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = []
        for index, row in enumerate(transfers):
            key = row["idempotency_key"]
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
                    "transaction": transaction or None,
                    "problem": problem,
                }
            )
        return results

    def _ledger_proof(self) -> dict[str, Any]:
        pending = self.outbox_pending.pop(0) if len(self.outbox_pending) > 1 else self.outbox_pending[0]
        return {
            "holds": True,
            "currencies": [{"currency": "EUR", "sum_minor": "0", "accounts": 3, "entries": 4}],
            "accounts": 3,
            "journal_transactions": 2,
            "completed": 2,
            "failed": 0,
            "mismatches": [],
            "outbox_pending": pending,
            "events": {"count": 2, "digest": "ab"},
            **self.ledger_proof_changes,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bank: Bank

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, self.headers, self.rfile.read(length))
        try:
            if request.path == "/events":
                self._stream(request)
                return
            status, body, headers = self.bank.answer(request)
        except CutLine:
            self.close_connection = True
            self.connection.close()
            return
        except Problem as problem:
            status, body, headers = problem.status, problem.document, {}
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Request-Id", self.headers.get("X-Request-Id", ""))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_PATCH = do_DELETE = do_GET

    def _stream(self, request: Request) -> None:
        """Send the events after the wanted position, then wait for more until a hook cuts the line."""
        bank = self.bank
        with bank.lock:
            bank.requests.append(request)
            for hook in list(bank.hooks):
                hook(request)
        position = int(request.headers.get("Last-Event-ID") or request.query.get("after") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while not bank.stopping.is_set():
            with bank.lock:
                fresh = [event for event in bank.events if event["position"] > position]
            for event in fresh:
                position = event["position"]
                text = f"id: {position}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
                self.wfile.write(text.encode())
                self.wfile.flush()
                if event.get("then") == "cut":
                    return
            time.sleep(0.02)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Stay silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A line that was cut on purpose is no news."""


@contextmanager
def serve(bank: Bank, certificate: Path, key: Path, port: int = 0) -> Iterator[str]:
    """Run the bank; yields its https origin."""
    handler = type("Handler", (_Handler,), {"bank": bank})
    server = _Server(("127.0.0.1", port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        bank.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
