"""Headers that another site, a liar or a broken client would send."""

import random

from tests.evidence.bad_input.draft import Catalogue, Draft

CLASSES = Catalogue()


@CLASSES.spoiled("no header against forgery", "change")
def _forged(_rng: random.Random, draft: Draft) -> None:
    draft.headers["X-Requested-With"] = b""


@CLASSES.spoiled("another site's origin", "change")
def _origin(rng: random.Random, draft: Draft) -> None:
    draft.headers["Origin"] = rng.choice(
        [b"https://evil.example", b"null", b"", b"http://127.0.0.1.evil", b"\xff"]
    )


@CLASSES.spoiled("cross-site fetch", "change")
def _fetched(rng: random.Random, draft: Draft) -> None:
    draft.headers["Sec-Fetch-Site"] = rng.choice([b"cross-site", b"same-site", b"", b"x"])


@CLASSES.spoiled("impossible idempotency key", "key")
def _key(rng: random.Random, draft: Draft) -> None:
    draft.headers["Idempotency-Key"] = rng.choice(
        [b"", b"a b", b"\xff", b"x" * 129, b"\xc3\xa9", b"\t", b"x" * 7000]
    )


@CLASSES.spoiled("request id of any form")
def _request_id(rng: random.Random, draft: Draft) -> None:
    draft.headers["X-Request-Id"] = rng.choice(
        [b"\x1b[2J", b"a" * 7000, b"\xff\xfe", b"../..", b'"}', b"%0d%0a"]
    )
    draft.cookie = b""


@CLASSES.spoiled("headers that claim to be somebody")
def _claimed(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    names = [
        "X-User-Id",
        "X-Auth-User",
        "X-Service-Token",
        "X-Forwarded-User",
        "X-Bankctl-Role",
        "X-Original-URL",
    ]
    draft.headers[rng.choice(names)] = rng.choice([b"admin", b"/internal/keys", b"{}", b"\xff" * 20])


@CLASSES.spoiled("method in a header", "change")
def _override(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    draft.headers["X-HTTP-Method-Override"] = rng.choice([b"DELETE", b"GET", b"CONNECT"])


@CLASSES.spoiled("long or many headers")
def _headers(rng: random.Random, draft: Draft) -> None:
    if rng.random() < 0.5:
        draft.headers["X-Long"] = b"x" * rng.randrange(8000, 20_000)
    else:
        draft.headers |= {f"X-{number}": b"x" for number in range(rng.randrange(100, 300))}
    draft.cookie = b""
