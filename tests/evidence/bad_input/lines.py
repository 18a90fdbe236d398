"""What is no HTTP/1.1 message."""

# ruff: noqa: E501 - one list to a line
import random

from tests.evidence.bad_input.draft import Catalogue, Draft

CLASSES = Catalogue()


@CLASSES.spoiled("two lengths, or a length that is none", "raw")
def _lengths(rng: random.Random, draft: Draft) -> None:
    tails = [
        b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: +5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Content-Length: " + b"9" * 30,
    ]  # fmt: skip
    _raw(draft, rng.choice(tails), b"0\r\n\r\nGET /internal/keys HTTP/1.1\r\nHost: x\r\n\r\n")


@CLASSES.spoiled("chunks that are none", "raw")
def _chunks(rng: random.Random, draft: Draft) -> None:
    bodies = [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n",
        b"2;a=b\r\n{}\r\n0\r\n",
        b"ffffffffffffffffff\r\n",
        b"2\r\n{}X0\r\n\r\n",
    ]
    _raw(draft, b"Content-Type: application/json\r\nTransfer-Encoding: chunked", rng.choice(bodies))


@CLASSES.spoiled("header lines that are none", "raw")
def _lines(rng: random.Random, draft: Draft) -> None:
    tails = [
        b"no colon",
        b": no name",
        b"A b: c",
        b"X: a\nSet-Cookie: b",
        b"X: \x00",
        b" folded",
        b"X\t: y",
        b"\xff: \xff",
    ]
    _raw(draft, rng.choice(tails), b"")


@CLASSES.spoiled("request line that is none", "raw")
def _request_line(rng: random.Random, draft: Draft) -> None:
    lines = [
        b"GET", b"GET /", b"GET / HTTP/9.9", b"GET  / HTTP/1.1", b"GET /\x00 HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01\x00",
        b"GET http://evil.example/ HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"*",
    ]  # fmt: skip
    draft.raw = rng.choice(lines) + b"\r\nHost: x\r\n\r\n"


@CLASSES.spoiled("hung up in the middle", "raw")
def _hung_up(rng: random.Random, draft: Draft) -> None:
    whole = draft.encoded()
    draft.raw = whole[: rng.randrange(1, len(whole))]
    draft.then_hang_up = True


def _raw(draft: Draft, tail: bytes, body: bytes) -> None:
    line = f"{draft.method} {draft.path} HTTP/1.1".encode()
    draft.raw = line + b"\r\nHost: 127.0.0.1\r\nX-Requested-With: fuzz\r\n" + tail + b"\r\n\r\n" + body
