"""Where a request ends: gateway and daemons agree, and nothing hidden in a body is ever answered.

Each attack is sent as bytes, with a plain request for `/accounts/last` behind it, which also closes the
connection. That one may be answered or not; what may not be is `/accounts/hidden`.
"""

import ssl
from collections.abc import Iterator

import h2.config
import h2.connection
import h2.events
import pytest

from tests.support.edge import (
    GATEWAY_LIMIT,
    LIMIT,
    Daemon,
    Gateway,
    Place,
    running_daemon,
    running_gateway,
)

PADDING = 400_000
"""More than the server library of the gateway throws away of a body that nobody reads."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with running_daemon(idle_seconds=3) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def gateway(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("gateway")
    with running_gateway(root, {"banking_api": daemon.port}, GATEWAY_BODY_TIME="2s") as gateway:
        yield gateway


@pytest.fixture(params=["gateway", "daemon"])
def place(request: pytest.FixtureRequest, daemon: Daemon, gateway: Gateway) -> Place:
    daemon.seen.clear()
    daemon.bodies.clear()
    if request.param == "daemon":
        return Place(daemon.port)
    return Place(gateway.port, gateway.certificate)


@pytest.fixture
def outside(daemon: Daemon, gateway: Gateway) -> Place:
    daemon.seen.clear()
    daemon.bodies.clear()
    return Place(gateway.port, gateway.certificate)


def _hidden(place: Place) -> bytes:
    return place.request("GET /accounts/hidden")


def _last(place: Place) -> bytes:
    return place.request("GET /accounts/last", "Connection: close")


def _text(size: int) -> bytes:
    """Return a body of this size that is in order."""
    return b'{"text":"' + b"x" * (size - len(b'{"text":""}')) + b'"}'


def _chunked(body: bytes, size: int = 50_000) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _post(place: Place, *headers: str, body: bytes, path: str = "/accounts") -> bytes:
    return place.request(f"POST {path}", "Content-Type: application/json", *headers, body=body)


@pytest.mark.parametrize(
    ("size", "status"),
    [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413), (GATEWAY_LIMIT, 413), (GATEWAY_LIMIT + 1, 413)],
)
@pytest.mark.parametrize("form", ["declared", "chunked"])
def test_a_body_is_taken_up_to_the_limit(
    place: Place, daemon: Daemon, size: int, status: int, form: str
) -> None:
    body = _text(size)
    if form == "declared":
        sent = _post(place, f"Content-Length: {size}", body=body)
    else:
        sent = _post(place, "Transfer-Encoding: chunked", body=_chunked(body))

    first = place.exchange(sent + _last(place))[0]

    assert first.status == status
    assert daemon.bodies == ([size - len(b'{"text":""}')] if status == 200 else [])
    if status == 413:
        assert b'"code":"payload_too_large"' in first.body.replace(b": ", b":")


@pytest.mark.parametrize("path", ["/accounts", "/accounts/unread", "/nothing", "/internal/keys"])
@pytest.mark.parametrize("expect", [[], ["Expect: 100-continue"]])
@pytest.mark.parametrize(
    "ahead", [LIMIT - 1, LIMIT, LIMIT + 1, GATEWAY_LIMIT - 1, GATEWAY_LIMIT, GATEWAY_LIMIT + 1]
)
@pytest.mark.parametrize("padding", [0, PADDING])
def test_nothing_behind_the_limit_of_a_declared_body_is_answered(
    place: Place, daemon: Daemon, path: str, expect: list[str], ahead: int, padding: int
) -> None:
    body = b"x" * ahead + _hidden(place) + b"x" * padding

    place.exchange(_post(place, f"Content-Length: {len(body)}", *expect, body=body, path=path) + _last(place))

    assert set(daemon.seen) <= {path, "/accounts/last"}


@pytest.mark.parametrize("path", ["/accounts", "/accounts/unread", "/nothing"])
@pytest.mark.parametrize("ahead", [10, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT + 1])
def test_nothing_within_a_chunked_body_is_answered(
    place: Place, daemon: Daemon, path: str, ahead: int
) -> None:
    body = b"x" * ahead + _hidden(place) * 3 + b"x" * PADDING

    place.exchange(_post(place, "Transfer-Encoding: chunked", body=_chunked(body), path=path) + _last(place))

    assert set(daemon.seen) <= {path, "/accounts/last"}


def test_nothing_behind_a_body_without_a_length_shares_its_connection(outside: Place, daemon: Daemon) -> None:
    sent = _post(outside, "Transfer-Encoding: chunked", body=_chunked(_text(100)))

    [answer] = outside.exchange(sent + _last(outside))

    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert daemon.seen == ["/accounts"]


def test_who_was_refused_for_the_size_is_not_heard_again(outside: Place, daemon: Daemon) -> None:
    with outside.connect() as line:
        line.sendall(_post(outside, f"Content-Length: {GATEWAY_LIMIT + 1}", body=b""))
        head = line.recv(1 << 16)
        try:
            line.sendall(_hidden(outside) + _last(outside))
            rest = line.recv(1 << 16)
        except OSError:
            rest = b""

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in head
    assert b"HTTP/1.1" not in rest
    assert daemon.seen == []


def test_who_sends_too_slowly_is_told_and_the_rest_of_the_body_is_no_request(
    outside: Place, daemon: Daemon
) -> None:
    with outside.connect() as line:
        line.sendall(_post(outside, "Content-Length: 100000", body=b'{"text":"'))
        head = line.recv(1 << 16)
        try:
            line.sendall(_hidden(outside) + _last(outside))
            rest = line.recv(1 << 16)
        except OSError:
            rest = b""

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"outcome_unknown"' in head
    assert b"HTTP/1.1" not in rest
    assert "/accounts/hidden" not in daemon.seen
    assert daemon.bodies == []


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 500"],
        ["Content-Length: 500", "Content-Length: 5"],
        ["Content-Length: 5, 500"],
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 5e0"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5 5"],
        ["Content-Length: 5_0"],
        ["Content-Length: \xd9\xa5"],
        ["Content-Length: " + "9" * 40],
        ["Content-Length: " + "0" * 40 + "500"],
        ["Content-Length: 000500"],
        ["Content-Length: "],
        ["Content-Length : 500"],
        [" Content-Length: 500"],
        ["Content-Length: 500", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 500"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Content-Length: 500"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: identity", "Content-Length: 5"],
        ["Transfer-Encoding: xchunked", "Content-Length: 5"],
        ["Transfer-Encoding: chunked-x", "Content-Length: 5"],
        ["Transfer-Encoding:\tchunked", "Content-Length: 500"],
        ["Transfer-Encoding : chunked", "Content-Length: 500"],
        ["Transfer-Encoding: \x0bchunked", "Content-Length: 500"],
        ["Transfer-Encoding:\r\n chunked", "Content-Length: 500"],
        ["X: x\nTransfer-Encoding: chunked", "Content-Length: 500"],
        ["X: x\rTransfer-Encoding: chunked", "Content-Length: 500"],
        ["Transfer_Encoding: chunked", "Content-Length: 500"],
        ["Upgrade: websocket", "Connection: Upgrade", "Content-Length: 500"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAA", "Content-Length: 500"],
        ["Connection: Content-Length", "Content-Length: 500"],
        ["Connection: Transfer-Encoding, Content-Length", "Content-Length: 500"],
    ],
)
@pytest.mark.parametrize("path", ["/accounts", "/accounts/unread"])
def test_of_two_ways_to_read_a_length_none_lets_a_hidden_request_through(
    place: Place, daemon: Daemon, headers: list[str], path: str
) -> None:
    # Behind an empty chunk, and behind five bytes, but within the five hundred.
    body = b"0\r\n\r\n" + _hidden(place)
    body += b"x" * (500 - len(body))

    place.exchange(_post(place, *headers, body=body, path=path) + _last(place))

    assert set(daemon.seen) <= {path, "/accounts/last"}


@pytest.mark.parametrize(
    "begin",
    [
        b"+0\r\n\r\n",
        b"-1\r\n\r\n",
        b"0x0\r\n\r\n",
        b" 0\r\n\r\n",
        b"0_0\r\n\r\n",
        b"f0000000000000000\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"0;x\n\r\n",
    ],
)
def test_a_malformed_chunk_ends_the_connection(place: Place, daemon: Daemon, begin: bytes) -> None:
    body = begin + _hidden(place)

    place.exchange(_post(place, "Transfer-Encoding: chunked", body=body) + _last(place))

    assert set(daemon.seen) <= {"/accounts"}
    assert daemon.bodies == []


def test_plain_requests_one_behind_another_are_answered_in_order(place: Place, daemon: Daemon) -> None:
    body = _text(40)
    sent = place.request("GET /accounts/first") + _post(place, "Content-Length: 40", body=body)

    answers = place.exchange(sent + _last(place))

    assert [answer.status for answer in answers] == [200, 200, 200]
    assert daemon.seen == ["/accounts/first", "/accounts", "/accounts/last"]


def _over_http2(place: Place, *headers: tuple[str, str], body: bytes) -> int | None:
    """Send one request over HTTP/2; return the status, None if the stream was reset without one."""
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"
    )
    http = h2.connection.H2Connection(config)
    status: int | None = None
    left, ended = body, False
    with place.connect("h2") as line:
        assert isinstance(line, ssl.SSLSocket)
        assert line.selected_alpn_protocol() == "h2"
        http.initiate_connection()
        named = [(":method", "POST"), (":scheme", "https"), (":authority", place.host)]
        plain = [("x-requested-with", "tests"), ("content-type", "application/json")]
        http.send_headers(1, [*named, (":path", "/accounts"), *plain, *headers])
        while not ended:
            room = min(http.local_flow_control_window(1), http.max_outbound_frame_size, len(left))
            if left and room:
                http.send_data(1, left[:room], end_stream=room == len(left))
                left = left[room:]
            line.sendall(http.data_to_send())
            if left and http.local_flow_control_window(1):
                continue
            for event in http.receive_data(line.recv(1 << 16)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = int(dict(event.headers or [])[":status"])
                ended = ended or isinstance(
                    event,
                    (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated),
                )
    return status


@pytest.mark.parametrize(
    ("size", "status"),
    [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413), (GATEWAY_LIMIT, 413), (GATEWAY_LIMIT + 1, 413)],
)
@pytest.mark.parametrize("declared", [True, False])
def test_a_body_over_http2_is_taken_up_to_the_limit(
    outside: Place, daemon: Daemon, size: int, status: int, *, declared: bool
) -> None:
    headers = [("content-length", str(size))] if declared else []

    assert _over_http2(outside, *headers, body=_text(size)) == status
    assert len(daemon.bodies) == (status == 200)


@pytest.mark.parametrize(
    "length", ["39", "41", "0", "+40", "4e1", "0x28", "", " 40", "-1", "40, 40", "9" * 40, str(LIMIT + 1)]
)
def test_a_wrong_length_over_http2_does_nothing(outside: Place, daemon: Daemon, length: str) -> None:
    status = _over_http2(outside, ("content-length", length), body=_text(40))

    assert status is None or status >= 400
    assert daemon.bodies == []
