"""Serves a played bank on loopback, over real TLS."""

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.cli.played_bank import Bank, CutLineError, Lines, ProblemError, Request


def issue_certificate(
    directory: Path, *, begins: timedelta = timedelta(days=-1), ends: timedelta = timedelta(days=1)
) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key; it is valid from then until then, from now on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bankctl tests")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + begins)
        .not_valid_after(today + ends)
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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bank: Bank
    ahead = timedelta()
    """How far the server's clock is ahead of this machine's."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((timestamp or time.time()) + self.ahead.total_seconds())

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(self.command, self.path, self.headers, self.rfile.read(length))
        try:
            if request.path == "/events":
                self._stream(request)
                return
            status, body, headers = self.bank.answer(request)
        except CutLineError:
            self.close_connection = True
            self.connection.close()
            return
        except ProblemError as problem:
            status, body, headers = problem.status, problem.document, problem.headers
        if isinstance(body, Lines):
            self._send_lines(body)
            return
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Request-Id", self.headers.get("X-Request-Id", ""))
        for name, values in headers.items():
            for value in [values] if isinstance(values, str) else values:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the base class's names

    def _send_lines(self, lines: Lines) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for line in lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")
            self.wfile.flush()

    def _stream(self, request: Request) -> None:
        """Send the events after the wanted position, then wait for more until a hook cuts the line."""
        bank = self.bank
        with bank.lock:
            bank.requests.append(request)
            for hook in list(bank.hooks):
                hook(request)
        position = int(request.headers.get("Last-Event-ID") or request.query.get("after") or 0)
        with bank.lock:
            last = max((event["position"] for event in bank.events), default=0)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(_position_frame(position, last).encode())
        while not bank.stopping.is_set():
            with bank.lock:
                fresh = [event for event in bank.events if event["position"] > position]
            for event in fresh:
                position = event["position"]
                text = f"id: {position}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"
                # What the notifier says about the stream itself.
                text = event.get("before", "") + text + event.get("behind", "")
                self.wfile.write(text.encode())
                self.wfile.flush()
                if event.get("then") == "cut":
                    return
            time.sleep(0.02)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Stay silent."""


def _position_frame(position: int, last: int) -> str:
    data = json.dumps({"position": position, "last_position": last})
    return f"id: {position}\nevent: reached\ndata: {data}\n\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A line that was cut on purpose is no news."""


@contextmanager
def serve(
    bank: Bank, certificate: Path, key: Path, port: int = 0, *, ahead: timedelta = timedelta()
) -> Iterator[str]:
    """Run the bank; yields its https origin."""
    handler = type("Handler", (_Handler,), {"bank": bank, "ahead": ahead})
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
