"""Events: pages of them, and the proof that none is missing."""

from dataclasses import asdict
from datetime import timedelta
from uuid import UUID

from aiohttp import web

from daemons.contracts.errors import NotFoundError
from daemons.contracts.names import JSON_LINES
from daemons.contracts.permissions import Permission
from daemons.notifier.deliveries.proof import DeliveryProver
from daemons.notifier.event import Selection, data_from
from daemons.notifier.event_log.history import EventHistory
from daemons.notifier.event_log.models import (
    DeliveriesProofView,
    EventIds,
    EventPage,
    EventProofLine,
    EventProofQuery,
    EventProofView,
    EventsSummaryView,
    EventView,
    HistoryQuery,
    MissingEvents,
    SummaryQuery,
    view_event,
    view_summary,
)
from daemons.notifier.event_log.proof import EventProver
from daemons.notifier.event_log.summary import EventsSummary
from daemons.shared.audit.readings import EVERYBODY, admit_reading
from daemons.shared.http.answers import json_response
from daemons.shared.http.event_sets import EventSetView, mismatch_views
from daemons.shared.http.lines import answer_long_work
from daemons.shared.http.requests import read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes
from daemons.shared.progress import Progress

routes = Routes("events")
HISTORY_KEY = web.AppKey("history", EventHistory)
DELIVERY_PROVER_KEY = web.AppKey("delivery_prover", DeliveryProver)
PROVER_KEY = web.AppKey("prover", EventProver)
SUMMARY_KEY = web.AppKey("summary", EventsSummary)


@routes.add("GET", "/events/history", permission=Permission.READ_EVENTS, query=HistoryQuery, answer=EventPage)
async def list_events(request: web.Request) -> web.Response:
    """Read recorded events page by page."""
    query = read_query(request, HistoryQuery)
    await admit_to_events(request, query.selection)
    page, cursor = await request.app[HISTORY_KEY].page(
        query.selection,
        first=query.first_id,
        oldest_first=query.order == "asc",
        limit=query.limit,
        cursor=query.cursor,
    )
    return json_response(EventPage(items=[view_event(event) for event in page], next_cursor=cursor))


@routes.add(
    "GET",
    "/events/proof",
    permission=Permission.READ_EVENTS,
    query=EventProofQuery,
    answer=EventProofView,
    other_forms={JSON_LINES: EventProofLine},
)
async def prove_events(request: web.Request) -> web.StreamResponse:
    """Prove events and notifications, and digest them; with progress if `Accept` asks for it."""
    query = read_query(request, EventProofQuery)

    async def prove(progress: Progress) -> EventProofView:
        proof = await request.app[PROVER_KEY].prove_events(progress, query, after=query.after)
        deliveries = await request.app[DELIVERY_PROVER_KEY].prove()
        return EventProofView(
            holds=proof.mismatch_count == 0,
            mismatch_count=proof.mismatch_count,
            mismatches=mismatch_views(proof),
            events=EventSetView.of(proof.events),
            notifications=EventSetView.of(proof.notifications),
            goes_on_after=proof.last_position if proof.goes_on_after is None else proof.goes_on_after,
            deliveries=DeliveriesProofView(**asdict(deliveries)),
        )

    return await answer_long_work(request, prove)


@routes.add(
    "GET",
    "/events/summary",
    permission=Permission.READ_EVENTS,
    query=SummaryQuery,
    answer=EventsSummaryView,
)
async def summarize_events(request: web.Request) -> web.Response:
    """Summarize the last minute's events, what waits at Kafka and in deliveries, and the last failures."""
    window = timedelta(seconds=read_query(request, SummaryQuery).window)
    return json_response(view_summary(await request.app[SUMMARY_KEY].read(window)))


@routes.add("GET", "/events/{id}", permission=Permission.READ_EVENTS, answer=EventView)
async def show_event(request: web.Request) -> web.Response:
    """Read one event by its id; a transaction's event has the transaction's id."""
    missing = NotFoundError("event_not_found", "There is no such event, or not yet.")
    event_id = read_uuid(request, "id", missing=missing)
    event = await request.app[HISTORY_KEY].find(event_id)
    await admit_reading(request, set(data_from(event.type, event.data).customers()), what="event")
    return json_response(view_event(event))


@routes.add("POST", "/events/missing", permission=Permission.READ_EVENTS, body=EventIds, answer=MissingEvents)
async def find_missing_events(request: web.Request) -> web.Response:
    """Return which of these events are not recorded."""
    body = await read_body(request, EventIds)
    missing = await request.app[HISTORY_KEY].missing([UUID(text) for text in body.ids])
    return json_response(MissingEvents(missing=[str(id_) for id_ in missing]))


async def admit_to_events(request: web.Request, selection: Selection) -> None:
    """Go on once staff have said why they read these customers' events, or everybody's."""
    customers = await request.app[HISTORY_KEY].customers_of(selection)
    await admit_reading(request, customers or {EVERYBODY}, what="events")
