"""Writes docs/api.md from the routes and the errors as the code declares them.

`python -m tests.support.api_reference > docs/api.md`; a guard fails when the document is not up to date.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from daemons.banking_api import app as banking_api
from daemons.banking_api.settings import BankingSettings
from daemons.contracts import errors
from daemons.notifier import app as notifier
from daemons.notifier.settings import NotifierSettings
from daemons.shared.http.problems import STATUS_OF_CATEGORY, STATUS_OF_CODE
from daemons.shared.http.routes import ROUTES_KEY, IdempotencyKey, Route
from daemons.user_api import app as user_api
from daemons.user_api.settings import UserApiSettings
from tests.support.daemon_keys import secret_settings

ROOT = Path(__file__).parents[2]
CATEGORIES = {
    found.__name__: found.category
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.BankError)
}

INTRODUCTION = """# The HTTP API

Generated from the routes and errors that the code declares by
`python -m tests.support.api_reference > docs/api.md`; a test fails when it is not up to date.

The gateway is one HTTPS origin for all daemons; routes marked *service* are for daemons among themselves and
are not routed. Each daemon serves its OpenAPI 3.1 document, through the gateway as
`/openapi/user_api.json`, `/openapi/banking_api.json` and `/openapi/notifier.json`.

- **Session:** the cookie `__Host-bankctl`, good for minutes, and `__Host-bankctl-refresh`, exchanged for both
  anew at `POST /auth/refresh`; set by `POST /auth/login`, never in a body.
- **API key:** `Authorization: Bearer bk_...`, made by `POST /auth/tokens`; needs no header against forgery.
- **Requests that change something** need the header `X-Requested-With`, and a JSON body `Content-Type:
  application/json`. Unknown fields are refused.
- **Money** is a decimal string and an ISO 4217 code: `"amount": "12.34", "currency": "EUR"`.
- **Times** are RFC 3339 in UTC with milliseconds. **Lists** take `?limit=` (1 to 200) and `?cursor=`.
- **Idempotency-Key** (1 to 128 printable ASCII characters, no spaces): repeat a request with the same key and
  get the stored answer, also that of a failure, with `Idempotent-Replayed: true`; another request under the
  same key is refused (422), as are two keys (400).
- **Prefer:** `return=minimal` (RFC 7240) with a batch: each row's answer has the id of its transaction
  and not the whole of it.
- **Batches** have up to 500 rows, and with `"atomic": true`, by which all rows are paid or none, up to 4,000
  (docs/adr/0022); `GET /bank` tells both numbers. A body has up to 256 KiB, that of a batch 1 MiB.
- **Errors** are RFC 9457 `application/problem+json` with a stable `code`, a `category`, the `request_id`, and
  for malformed requests `errors` with each field at fault.
- **Rates:** who sends too much gets 429 `rate_limited` with `Retry-After`, `RateLimit-Policy` and `RateLimit`
  (docs/adr/0014); nothing was done.
"""


def applications() -> dict[str, web.Application]:
    """Build every daemon's application; nothing is connected."""
    common: dict[str, Any] = {
        "port": 1,
        "mongo_uri": "mongodb://127.0.0.1:1/?replicaSet=none",
    }
    peer = {**common, "kafka_broker": "127.0.0.1:9", "user_api_url": "http://127.0.0.1:1"}
    settings = {name: secret_settings(name, "s" * 32) for name in ("user_api", "banking_api", "notifier")}
    return {
        "user_api": user_api.build(UserApiSettings(**common, **settings["user_api"])),
        "banking_api": banking_api.build(BankingSettings(**peer, **settings["banking_api"])),
        "notifier": notifier.build_notifier(NotifierSettings(**peer, **settings["notifier"])),
    }


def codes() -> dict[str, tuple[str, int]]:
    """Return every error code that the daemons' code raises, with its category and HTTP status."""
    found: dict[str, tuple[str, int]] = {}
    for path in sorted((ROOT / "daemons").rglob("*.py")):
        for name, code in _raised(ast.parse(path.read_text(encoding="utf-8"))):
            category = CATEGORIES[name]
            found[code] = (category.value, STATUS_OF_CODE.get(code, STATUS_OF_CATEGORY[category]))
    return found


def _raised(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                if node.func.id in CATEGORIES:
                    yield node.func.id, first.value
                elif node.func.id == "Failure":
                    # As `refusal` in the domain: only a sender's account that is not one's own is not found.
                    kind = "NotFoundError" if first.value == "account_not_found" else "RejectedError"
                    yield kind, first.value
            elif node.func.id == "Failure" and isinstance(first, ast.JoinedStr):
                yield from (("RejectedError", f"account_{status}") for status in ("frozen", "closed"))


def reference(daemons: dict[str, web.Application]) -> str:
    """Return the document."""
    lines = [INTRODUCTION]
    for daemon, app in daemons.items():
        lines += [f"\n## {daemon}\n", "| route | who may | what it does |", "|---|---|---|"]
        lines += [_row(route) for route in _sorted(app[ROUTES_KEY])]
    lines += ["\n## Error codes\n", "| code | status | category |", "|---|---|---|"]
    lines += [f"| `{code}` | {status} | {category} |" for code, (category, status) in sorted(codes().items())]
    return "\n".join(lines) + "\n"


def _sorted(routes: Iterable[Route]) -> list[Route]:
    return sorted(routes, key=lambda route: (route.path, route.method))


def _row(route: Route) -> str:
    key = {
        IdempotencyKey.REQUIRED: " *Idempotency-Key.*",
        IdempotencyKey.OPTIONAL: " *Idempotency-Key optional.*",
    }
    summary = route.summary + key.get(route.idempotency_key, "")
    return f"| `{route.method} {route.path}` | {route.permission.value} | {summary} |"


if __name__ == "__main__":
    sys.stdout.write(reference(applications()))
