"""Cookies, tokens and keys that nobody has been given."""

# ruff: noqa: E501 - one list to a line
import base64
import json
import random
from typing import Any

from tests.evidence.bad_input.draft import Catalogue, Draft

CLASSES = Catalogue()


@CLASSES.spoiled("made-up cookie")
def _cookie(rng: random.Random, draft: Draft) -> None:
    junk = base64.urlsafe_b64encode(rng.randbytes(rng.randrange(0, 60)))
    forms = [
        junk,
        junk + b"." + junk + b"." + junk,
        b"..",
        b"a.b.c.d.e",
        b"\xff",
        b"%00",
        b'"',
        b"e30.e30.",
        b";",
    ]
    draft.cookie = b"__Host-bankctl=" + rng.choice(forms)


@CLASSES.spoiled("token with a changed character")
def _spoiled_token(rng: random.Random, draft: Draft) -> None:
    token = bytearray(draft.cookie)
    # The last character carries bits that decoders ignore, so another one is taken.
    place = rng.randrange(len(b"__Host-bankctl="), max(len(token) - 2, len(b"__Host-bankctl=") + 1))
    if place < len(token):
        token[place] = ord("A") if token[place] != ord("A") else ord("B")
    draft.cookie = bytes(token)


@CLASSES.spoiled("header of a token that lies")
def _lying_token(rng: random.Random, draft: Draft) -> None:
    liars: list[dict[str, Any]] = [
        {"alg": "none"}, {"alg": "HS256", "kid": "../../dev/null"}, {"alg": "EdDSA", "jku": "http://127.0.0.1:1/"},
        {"alg": "EdDSA", "typ": "session+jwt", "kid": {"$ne": None}}, {"alg": ["EdDSA"], "kid": 1}, {"alg": None},
        {"alg": "EdDSA", "typ": "session+jwt", "crit": ["x"]}, {"alg": "RS256", "x5u": "file:///etc/passwd"},
    ]  # fmt: skip
    head = base64.urlsafe_b64encode(json.dumps(rng.choice(liars)).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(rng.choice([b"{}", b"[]", b"null", b"1", b'{"sub":{}}', b"\xff"])).rstrip(
        b"="
    )
    draft.cookie = b"__Host-bankctl=" + head + b"." + body + b"." + rng.choice([b"", b"AAAA", b"*"])


@CLASSES.spoiled("made-up authorization")
def _authorization(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    junk = base64.urlsafe_b64encode(rng.randbytes(32)).rstrip(b"=")
    forms = [
        b"Bearer " + junk,
        b"Bearer bk_" + junk,
        b"Bearer",
        b"Basic YTpi",
        b"bearer  x",
        b"\xff",
        b"Bearer a.b.c",
    ]
    draft.headers["Authorization"] = rng.choice(forms)
