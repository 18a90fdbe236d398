"""The gateway before daemons that misbehave: what it answers in their place, and what it lets through."""

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bankctl.local.stack import Stack, Wishes
from tests.support.gateway import get


class Upstream(BaseHTTPRequestHandler):
    """A daemon's place behind the gateway: echoes what arrives, or breaks off without an answer."""

    def do_GET(self) -> None:
        if self.path == "/accounts/broken":
            self.connection.close()
            return
        self.send_response(200)
        self.end_headers()
        if self.path == "/events":
            self.wfile.write(b"data: first\n\n")
            self.wfile.flush()
            self.server.released.wait(30)
            return
        self.wfile.write(json.dumps(dict(self.headers.items())).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.connection.close()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class UpstreamServer(ThreadingHTTPServer):
    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Upstream)
        self.released = threading.Event()

    def handle_error(self, *_arguments: object) -> None:
        """A connection that was broken off on purpose is no news."""


@pytest.fixture(scope="module")
def edge(isolated: Path) -> Iterator[Stack]:
    """A gateway alone, before an upstream that misbehaves; nothing is in the place of user_api."""
    edge = Stack.load("edge")
    edge.up(wishes=Wishes(parts=("gateway",)))
    servers = [UpstreamServer(edge.settings.ports[name]) for name in ("banking_api", "notifier")]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield edge
    for server, thread in zip(servers, threads, strict=True):
        server.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
    edge.reset()


def test_a_change_that_a_daemon_breaks_off_has_an_unknown_outcome(edge: Stack) -> None:
    status, headers, body = get(edge, "/accounts", data=b"{}")

    assert (status, body["code"], body["category"]) == (503, "outcome_unknown", "outcome_unknown")
    assert body["request_id"] == headers["x-request-id"]


def test_a_read_that_a_daemon_breaks_off_may_be_repeated(edge: Stack) -> None:
    status, headers, body = get(edge, "/accounts/broken")

    assert (status, body["code"], body["category"]) == (503, "unavailable", "transient")
    assert headers["retry-after"] == "1"


def test_a_change_that_never_reached_its_daemon_did_nothing(edge: Stack) -> None:
    status, _, body = get(edge, "/users", data=b"{}")

    assert (status, body["code"], body["category"]) == (503, "unavailable", "transient")


def test_nobody_outside_says_who_is_calling(edge: Stack) -> None:
    claimed = {
        "X-Forwarded-For": "9.9.9.9",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=9.9.9.9",
        "X-Real-Ip": "9.9.9.9",
        "X-User-Id": "admin",
        "Authorization": "Bearer forged",
    }
    _, _, arrived = get(edge, "/accounts", **claimed)

    assert {name.title(): value for name, value in arrived.items() if name.title() in claimed} == {
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Host": f"localhost:{edge.settings.ports['gateway']}",
    }


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        ("Bearer bk_" + "k" * 43, True),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", False),
        ("Basic YWRtaW46YWRtaW4=", False),
        ("Bearer bk_x, Bearer eyJ", False),
    ],
)
def test_of_authorizations_api_keys_alone_come_through(edge: Stack, sent: str, *, arrives: bool) -> None:
    _, _, arrived = get(edge, "/accounts", Authorization=sent)

    found = {name.title(): value for name, value in arrived.items()}
    assert found.get("Authorization") == (sent if arrives else None)


def test_an_event_leaves_at_once(edge: Stack) -> None:
    trust = ssl.create_default_context(cafile=str(edge.layout.certificate))
    with urllib.request.urlopen(edge.url + "/events", context=trust, timeout=20) as stream:  # noqa: S310 - https
        assert stream.readline() == b"data: first\n"
