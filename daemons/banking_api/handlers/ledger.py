"""Routes of the ledger as a whole."""

from aiohttp import web

from daemons.banking_api.handlers.keys import SNAPSHOT_KEY
from daemons.banking_api.handlers.schemas import ProofView
from daemons.banking_api.handlers.views import proof_view
from daemons.banking_api.services.proof import prove_ledger
from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response
from daemons.shared.http.routes import Routes

routes = Routes("ledger")


@routes.add("GET", "/ledger/proof", permission=Permission.PROVE_LEDGER, answer=ProofView)
async def ledger_proof(request: web.Request) -> web.Response:
    """Prove the books: fold every entry and compare with what is stored."""
    async with request.app[SNAPSHOT_KEY].open() as snapshot:
        return json_response(proof_view(await prove_ledger(snapshot)))
