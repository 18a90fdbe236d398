"""What aiohttp costs by itself: `python -m tests.bench.bare_handler` reads a payment and answers with JSON.

No middleware, no sign-in, no checks: the least that a handler of the same requests and answers can do.
"""

import json
import os

import uvloop
from aiohttp import web

from daemons.shared.clock import utc_now
from daemons.shared.garbage import collect_less_often
from daemons.shared.ids import new_id

_NOBODY = str(new_id())


async def transfer(request: web.Request) -> web.Response:
    """Answer as the route of banking_api does."""
    asked = json.loads(await request.read())
    money = {"amount": asked["amount"], "currency": asked["currency"]}
    answer = {
        "id": str(new_id()),
        "kind": "transfer",
        "status": "completed",
        "amount": money,
        "from_account": asked["from_account"],
        "to_account": asked["to_account"],
        "reference": asked["reference"],
        "corrects": None,
        "failure": None,
        "initiated_by": _NOBODY,
        "created_at": utc_now().isoformat(timespec="milliseconds"),
    }
    body = json.dumps(answer, separators=(",", ":")).encode()
    return web.Response(status=201, body=body, content_type="application/json")


async def healthz(_request: web.Request) -> web.Response:
    """Answer that it serves."""
    return web.Response()


def main() -> None:
    """Serve as the daemons do: uvloop, no access log, garbage collected as seldom."""
    app = web.Application()
    app.router.add_post("/transactions/transfer", transfer)
    app.router.add_get("/healthz", healthz)
    collect_less_often()
    web.run_app(
        app,
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
