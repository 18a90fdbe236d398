"""Routes of the ledger as a whole."""

from aiohttp import web

from daemons.banking_api.handlers.keys import OUTBOX_KEY, RELAY_KEY, SNAPSHOT_KEY
from daemons.banking_api.handlers.schemas import OutboxView, ProofView
from daemons.banking_api.handlers.views import outbox_view, proof_view
from daemons.banking_api.services.proof import prove_ledger
from daemons.contracts.permissions import Permission
from daemons.shared.clock import utc_now
from daemons.shared.http.answers import json_response
from daemons.shared.http.routes import Routes

routes = Routes("ledger")


@routes.add("GET", "/ledger/proof", permission=Permission.PROVE_LEDGER, answer=ProofView)
async def ledger_proof(request: web.Request) -> web.Response:
    """Prove the books: fold every entry and compare with what is stored."""
    async with request.app[SNAPSHOT_KEY].open() as snapshot:
        return json_response(proof_view(await prove_ledger(snapshot)))


@routes.add("GET", "/ledger/outbox", permission=Permission.PROVE_LEDGER, answer=OutboxView)
async def show_outbox(request: web.Request) -> web.Response:
    """Show what waits to be published, since when, who publishes and what keeps this process from it."""
    waiting = await request.app[OUTBOX_KEY].waiting()
    failure = await request.app[RELAY_KEY].probe()
    return json_response(outbox_view(waiting, failure=failure, now=utc_now()))
