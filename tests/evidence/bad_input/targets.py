"""Paths, methods and queries that there are none of."""

import base64
import random
from urllib.parse import quote

from tests.evidence.bad_input.draft import Catalogue, Draft
from tests.evidence.bad_input.money import BAD_ACCOUNTS

CLASSES = Catalogue()


@CLASSES.spoiled("id in the path of any form", "id")
def _path_id(rng: random.Random, draft: Draft) -> None:
    ids = [
        *BAD_ACCOUNTS,
        "..%2f..%2f",
        "%00",
        "%ff",
        "%252e",
        "a" * 5000,
        "$ne",
        "[$ne]",
        "{id}",
        "\u202e",
        "0" * 36,
    ]
    chosen = rng.choice([one for one in ids if one])
    parts = zip(draft.path.split("/"), draft.template.split("/"), strict=True)
    draft.path = "/".join(chosen if named.startswith("{") else part for part, named in parts)


@CLASSES.spoiled("path that is none")
def _unknown_path(rng: random.Random, draft: Draft) -> None:
    tails = [
        "/x",
        "/..",
        "/%2e%2e/internal/keys",
        "//",
        "/;a=b",
        "/%",
        "/%zz",
        "/\\",
        "/.git/config",
        "/*",
        "/%0d%0a",
    ]
    draft.path = draft.path + rng.choice(tails)


@CLASSES.spoiled("method that is none")
def _method(rng: random.Random, draft: Draft) -> None:
    draft.method = rng.choice(["PUT", "TRACE", "OPTIONS", "PROPFIND", "LOCK", "get", "BREW", "X" * 50])


@CLASSES.spoiled("parameter unknown or twice", "query")
def _parameter(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["colour=blue", "limit=1&limit=2", "sort=-1", "debug=1", "fields=password_hash", "limit"]
    )


@CLASSES.spoiled("limit that is none", "query")
def _limit(rng: random.Random, draft: Draft) -> None:
    bad = [
        "0",
        "-1",
        "201",
        "1.5",
        "1e2",
        "",
        "many",
        "9" * 400,
        "%EF%BC%91",
        "0x5",
        "+5",
        "5%00",
        "true",
        "null",
    ]
    draft.query = f"limit={rng.choice(bad)}"


@CLASSES.spoiled("operator in the query", "query")
def _operator(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["limit[$gt]=0", "email[$ne]=x", "cursor[$regex]=.*", "$where=1", "status[]=active"]
    )


@CLASSES.spoiled("cursor of any form", "query")
def _cursor(rng: random.Random, draft: Draft) -> None:
    forms = [
        base64.urlsafe_b64encode(rng.randbytes(rng.randrange(0, 40))).decode(),
        "x" * 9000,
        "%00",
        "%FF",
        "====",
        "é",
    ]
    draft.query = f"cursor={quote(rng.choice(forms), safe='%')}"


@CLASSES.spoiled("query that is none", "query")
def _query(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["%", "%zz=%", "&&&&", "=", "a=%ff%fe", "?" * 500, "a=b;c=d", "x" * 7000, "%00=%00", "[]=1"]
    )
