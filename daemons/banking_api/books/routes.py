"""Routes of the bank and its ledger as a whole."""

from uuid import UUID

from aiohttp import web

from daemons.banking_api.books.models import (
    BankView,
    LostEvents,
    LostEventsView,
    OutboxView,
    ProofLine,
    ProofOrder,
    ProofView,
    RebuiltLine,
    RebuiltView,
    Republication,
    RepublicationView,
    SignedProofLine,
    SignedProofView,
)
from daemons.banking_api.books.proof import LedgerProver
from daemons.banking_api.books.published import PublishedEvents
from daemons.banking_api.books.rebuild import AccountRebuilder
from daemons.banking_api.books.republish import EventRepublisher
from daemons.banking_api.books.unpublished import Unpublished
from daemons.banking_api.books.views import outbox_view, proof_view, relay_view, signed_proof_view
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.relay import Relay
from daemons.banking_api.transactions.models import ATOMIC_LIMIT
from daemons.contracts.names import JSON_LINES
from daemons.contracts.permissions import Permission
from daemons.contracts.vocabulary import BATCH_LIMIT
from daemons.contracts.wire import ReasonGiven
from daemons.shared.clock import utc_now
from daemons.shared.http.answers import json_response
from daemons.shared.http.event_sets import EventSetQuery
from daemons.shared.http.lines import answer_long_work
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import read_body, read_query
from daemons.shared.http.routes import Routes
from daemons.shared.progress import Progress

routes = Routes("ledger")
BANK_ID_KEY = web.AppKey("bank_id", UUID)
RELAY_KEY = web.AppKey("relay", Relay)
UNPUBLISHED_KEY = web.AppKey("unpublished", Unpublished)
PUBLISHED_KEY = web.AppKey("published_events", PublishedEvents)
REPUBLISHER_KEY = web.AppKey("republisher", EventRepublisher)
REBUILDER_KEY = web.AppKey("rebuilder", AccountRebuilder)
LEASE_KEY = web.AppKey("lease", Lease)
PROVER_KEY = web.AppKey("prover", LedgerProver)

_BANK_MAY_BE_CACHED = "public, max-age=60"


@routes.add("GET", "/bank", permission=Permission.PUBLIC, answer=BankView)
async def show_bank(request: web.Request) -> web.Response:
    """Return the bank's id, which stays the same when its address changes, and its limits."""
    view = BankView(bank_id=str(request.app[BANK_ID_KEY]), batch_limit=BATCH_LIMIT, atomic_limit=ATOMIC_LIMIT)
    return json_response(view, headers={"Cache-Control": _BANK_MAY_BE_CACHED})


@routes.add(
    "GET",
    "/ledger/proof",
    permission=Permission.PROVE_LEDGER,
    query=EventSetQuery,
    answer=ProofView,
    other_forms={JSON_LINES: ProofLine},
)
async def ledger_proof(request: web.Request) -> web.StreamResponse:
    """Prove the books: fold every entry and compare; with progress if `Accept` asks for it."""
    query = read_query(request, EventSetQuery)

    async def prove(progress: Progress) -> ProofView:
        return proof_view(await request.app[PROVER_KEY].prove(progress, query))

    return await answer_long_work(request, prove)


@routes.add(
    "POST",
    "/ledger/proof",
    permission=Permission.PROVE_LEDGER,
    body=ProofOrder,
    answer=SignedProofView,
    other_forms={JSON_LINES: SignedProofLine},
)
async def prove_and_sign(request: web.Request) -> web.StreamResponse:
    """Prove the books, and sign the journal's end if they hold.

    With `since` the proof goes on from the end of an earlier one, if what that one left is still kept.
    """
    body = await read_body(request, ProofOrder)

    async def prove(progress: Progress) -> SignedProofView:
        return signed_proof_view(await request.app[PROVER_KEY].prove_and_sign(progress, since=body.since))

    return await answer_long_work(request, prove)


@routes.add(
    "POST",
    "/ledger/accounts/rebuild",
    permission=Permission.REBUILD_ACCOUNTS,
    body=ReasonGiven,
    answer=RebuiltView,
    other_forms={JSON_LINES: RebuiltLine},
)
async def rebuild_accounts(request: web.Request) -> web.StreamResponse:
    """Rebuild the collection of accounts from the journal; with progress if `Accept` asks for it."""
    body = await read_body(request, ReasonGiven)
    by = actor_of(request)

    async def rebuild(progress: Progress) -> RebuiltView:
        rebuilt = await request.app[REBUILDER_KEY].rebuild(by, progress, reason=body.reason)
        return RebuiltView(accounts=rebuilt.accounts, changed=rebuilt.changed, removed=rebuilt.removed)

    return await answer_long_work(request, rebuild)


@routes.add("GET", "/ledger/outbox", permission=Permission.PROVE_LEDGER, answer=OutboxView)
async def show_outbox(request: web.Request) -> web.Response:
    """Show what waits to be published, since when, who publishes and what keeps this process from it."""
    waiting = await request.app[UNPUBLISHED_KEY].waiting()
    relay = relay_view(await request.app[LEASE_KEY].holder(), request.app[RELAY_KEY].probe())
    return json_response(outbox_view(waiting, request.app[PUBLISHED_KEY].unknown, relay, now=utc_now()))


@routes.add(
    "POST",
    "/ledger/events/republish",
    permission=Permission.REPUBLISH_EVENTS,
    body=Republication,
    answer=RepublicationView,
)
async def republish_events(request: web.Request) -> web.Response:
    """Publish these transactions' events again under their old ids; consumers that have them ignore them."""
    body = await read_body(request, Republication)
    ids = [UUID(text) for text in body.transaction_ids]
    events, unknown = await request.app[REPUBLISHER_KEY].republish(actor_of(request), ids, reason=body.reason)
    return json_response(RepublicationView(events=events, unknown=[str(id_) for id_ in unknown]))


@routes.add(
    "POST",
    "/ledger/events/give-up",
    permission=Permission.REPUBLISH_EVENTS,
    body=LostEvents,
    answer=LostEventsView,
)
async def give_up_events(request: web.Request) -> web.Response:
    """Give up events that Kafka has and the database does not; waiting events are then published."""
    body = await read_body(request, LostEvents)
    ids = [UUID(text) for text in body.event_ids]
    lost = await request.app[PUBLISHED_KEY].give_up(actor_of(request), ids, reason=body.reason)
    return json_response(LostEventsView(given_up=[str(id_) for id_ in lost]))
