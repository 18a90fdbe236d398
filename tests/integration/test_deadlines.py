"""Headers, bodies and idle connections have their time, shown on sockets; the times are shortened."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.edge import (
    Daemon,
    Gateway,
    Place,
    read_answers,
    running_daemon,
    running_gateway,
)

SHORT_SECONDS = 1.0
MANY = 150


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with running_daemon(idle_seconds=SHORT_SECONDS, body_seconds=SHORT_SECONDS) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def gateway(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    short = f"{SHORT_SECONDS}s"
    times = {f"GATEWAY_{kind}_TIME": short for kind in ("HEADER", "BODY", "IDLE")}
    ports = {"banking_api": daemon.port}
    with running_gateway(tmp_path_factory.mktemp("gateway"), ports, **times) as gateway:
        yield gateway


@pytest.fixture(params=["gateway", "daemon"])
def place(request: pytest.FixtureRequest, daemon: Daemon, gateway: Gateway) -> Place:
    daemon.bodies.clear()
    if request.param == "daemon":
        return Place(daemon.port)
    return Place(gateway.port, gateway.certificate)


def _begin_body(place: Place) -> bytes:
    return place.request(
        "POST /accounts", "Content-Type: application/json", "Content-Length: 1000", body=b'{"text":"'
    )


def _dribble(line: socket.socket, piece: bytes) -> None:
    """Send the piece again and again until the other side has had enough."""
    line.settimeout(SHORT_SECONDS / 10)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            line.sendall(piece)
            if line.recv(1 << 16) == b"":
                return
        except TimeoutError:
            continue
        except OSError:
            return
    raise AssertionError("the connection takes whatever comes, however slowly")


def test_a_connection_on_which_nothing_comes_is_closed(place: Place) -> None:
    with place.connect() as line:
        assert read_answers(line) == []


def test_a_connection_that_has_been_answered_is_closed_when_nothing_more_comes(place: Place) -> None:
    with place.connect() as line:
        line.sendall(place.request("GET /accounts/one"))
        assert [answer.status for answer in read_answers(line)] == [200]


def test_a_header_that_does_not_end_is_cut(place: Place) -> None:
    with place.connect() as line:
        line.sendall(place.request("GET /accounts/one")[:-2])
        _dribble(line, b"X: x\r\n")


def test_a_body_that_stops_is_told_so_and_cut(place: Place, daemon: Daemon) -> None:
    with place.connect() as line:
        line.sendall(_begin_body(place))
        [answer] = read_answers(line)

    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert json.loads(answer.body)["status"] == 408
    assert daemon.bodies == []


def test_a_body_that_dribbles_is_cut(place: Place, daemon: Daemon) -> None:
    with place.connect() as line:
        line.sendall(_begin_body(place))
        _dribble(line, b"x")

    assert daemon.bodies == []


def test_a_body_that_nobody_reads_is_cut(place: Place) -> None:
    with place.connect() as line:
        line.sendall(place.request("POST /nothing", "Content-Length: 1000", body=b"x"))
        _dribble(line, b"x")


def test_many_slow_senders_keep_nobody_waiting_and_are_all_cut(place: Place) -> None:
    with ExitStack() as stack:
        slow = []
        for _ in range(MANY):
            slow.append(stack.enter_context(place.connect()))
            slow[-1].sendall(_begin_body(place))

        [answer] = place.exchange(place.request("GET /accounts/one", "Connection: close"))

        assert answer.status == 200
        assert [len(read_answers(line)) for line in slow] == [1] * MANY


def test_there_are_only_so_many_connections_and_then_there_is_room_again() -> None:
    with running_daemon(maximum_connections=3, idle_seconds=60) as daemon:
        place = Place(daemon.port)
        lines = [place.connect() for _ in range(3)]
        for line in lines:
            line.sendall(place.request("GET /accounts/one"))
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        last = place.request("GET /accounts/last", "Connection: close")

        [refused] = place.exchange(last)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert json.loads(refused.body)["code"] == "overloaded"
        assert daemon.seen == ["/accounts/one"] * 3

        lines[0].close()
        until = time.monotonic() + 60
        while place.exchange(last)[0].status != 200:
            assert time.monotonic() < until
        for line in lines:
            line.close()


def test_a_body_that_is_broken_off_is_no_error_of_ours(
    daemon: Daemon, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(daemon.port)
    seen = len(daemon.seen)
    with place.connect() as line:
        line.sendall(_begin_body(place))
        until = time.monotonic() + 60
        while len(daemon.seen) == seen:
            assert time.monotonic() < until
    # What comes after it has been dealt with after it.
    assert place.exchange(place.request("GET /accounts/one", "Connection: close"))[0].status == 200

    # Kafka clients of tests that ran before in this process log from threads of their own.
    ours = [record for record in caplog.records if record.name != "kafka"]
    assert [record for record in ours if record.levelno >= logging.WARNING] == []
    assert "error" not in capfd.readouterr().out


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /accounts/one HTTP/1.1\r\nHost: x\r\nX: " + b"A" * 100_000 + b"\r\n\r\n",
        b"GET /accounts/one HTTP/1.1\r\nHost: x\r\n" + b"X: A\r\n" * 10_000 + b"\r\n",
        b"GET /accounts/" + b"A" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /accounts/one HTTP/1.1\r\nHost: x\r\nX: A\x00" + b"A" * 5_000 + b"\r\n\r\n",
        b"AAAA" * 2_000 + b"\r\n\r\n",
    ],
)
def test_broken_messages_fill_no_log(daemon: Daemon, caplog: pytest.LogCaptureFixture, sent: bytes) -> None:
    answers = Place(daemon.port).exchange(sent)

    assert [answer.status for answer in answers] in ([400], [])
    said = [logging.Formatter().format(record) for record in caplog.records]
    assert len(said) <= 1
    assert not [line for line in said if len(line) > 200 or "AAA" in line or "\n" in line]


def test_what_the_gateway_logs_of_a_request_is_short(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        running_gateway(tmp_path, {"user_api": upstream.getsockname()[1]}) as gateway,
    ):
        place = Place(gateway.port, gateway.certificate)
        before = gateway.log.stat().st_size
        with place.connect() as line:
            line.sendall(place.request(f"GET /users/{'A' * 5000}?{'B' * 5000}", f"X: {'C' * 5000}"))
            connection, _ = upstream.accept()
            with connection:
                assert connection.recv(1 << 16)
                # An answer that ends before its length is what the gateway tells of.
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
            read_answers(line)
        logged = _logged(gateway.log, before)

    assert any("/users/AAA" in json.dumps(line) for line in logged)
    assert max(len(json.dumps(line)) for line in logged) < 1_000


def _logged(log: Path, before: int) -> list[object]:
    """Return what was logged since then, once there is something; each line is one JSON value."""
    until = time.monotonic() + 60
    while log.stat().st_size <= before:
        assert time.monotonic() < until
        time.sleep(0.01)
    text = log.read_bytes()[before:].decode()
    return [json.loads(line) for line in text.splitlines()]
