"""Events: a stream of them, pages of them, and the proof that none is missing."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.digest import EventSetDigest
from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.contracts.permissions import Permission
from daemons.notifier.event_log.models import (
    DigestView,
    EventPage,
    EventProofLine,
    EventProofView,
    EventView,
    MissingEvents,
    view_event,
)
from daemons.notifier.event_log.queries import (
    LAST_POSITION,
    EventIds,
    HistoryQuery,
    StreamQuery,
    position_cursor,
    read_position_cursor,
)
from daemons.notifier.keys import PROVER_KEY, READER_KEY, STREAMS_KEY
from daemons.shared.http.answers import json_response
from daemons.shared.http.lines import LINES, answer_long_work
from daemons.shared.http.requests import caller_of, read_body, read_query
from daemons.shared.http.routes import Routes
from daemons.shared.progress import Progress

LAST_EVENT_ID_HEADER = "Last-Event-ID"
_LONGEST_POSITION = len(str(LAST_POSITION))

routes = Routes("events")


@routes.add(
    "GET",
    "/events",
    permission=Permission.READ_EVENTS,
    query=StreamQuery,
    answer=EventView,
    media_type="text/event-stream",
)
async def stream_events(request: web.Request) -> web.StreamResponse:
    """Follow events as they are recorded; resume with the header Last-Event-ID or with `after`."""
    query = read_query(request, StreamQuery)
    streams = request.app[STREAMS_KEY]
    with streams.slot(caller_of(request)):
        position = await _first_position(request, query)
        return await streams.serve(request, position, query.selection)


@routes.add("GET", "/events/history", permission=Permission.READ_EVENTS, query=HistoryQuery, answer=EventPage)
async def list_events(request: web.Request) -> web.Response:
    """Read recorded events page by page."""
    query = read_query(request, HistoryQuery)
    start = read_position_cursor(query.cursor)
    reader = request.app[READER_KEY]
    more = query.limit + 1
    if query.order == "asc":
        events = await reader.events_after(start or 0, selection=query.selection, limit=more)
    else:
        events = await reader.events_before(start, selection=query.selection, limit=more)
    page = events[: query.limit]
    cursor = position_cursor(page[-1].position) if len(events) > query.limit else None
    return json_response(EventPage(items=[view_event(event) for event in page], next_cursor=cursor))


@routes.add(
    "GET",
    "/events/proof",
    permission=Permission.READ_EVENTS,
    answer=EventProofView,
    other_forms={LINES: EventProofLine},
)
async def prove_events(request: web.Request) -> web.StreamResponse:
    """Count and digest the events of journal transactions; with progress if `Accept` asks for it."""

    async def prove(progress: Progress) -> EventProofView:
        recorded, notified = await request.app[PROVER_KEY].prove_events(progress)
        return EventProofView(transactions=_view_digest(recorded), notifications=_view_digest(notified))

    return await answer_long_work(request, prove)


@routes.add("POST", "/events/missing", permission=Permission.READ_EVENTS, body=EventIds, answer=MissingEvents)
async def find_missing_events(request: web.Request) -> web.Response:
    """Return which of these events are not recorded."""
    body = await read_body(request, EventIds)
    wanted = [UUID(text) for text in body.ids]
    recorded = await request.app[READER_KEY].recorded(wanted)
    return json_response(MissingEvents(missing=[str(id_) for id_ in wanted if id_ not in recorded]))


async def _first_position(request: web.Request, query: StreamQuery) -> int:
    """Return the position after which the stream begins: the one named, else the newest event's.

    Raises:
        InvalidRequestError: the position is malformed or has not been given out.
    """
    named = request.headers.get(LAST_EVENT_ID_HEADER)
    last = await request.app[READER_KEY].last_position()
    if named is None:
        position, field = query.after, "after"
    else:
        position, field = _read_last_event_id(named), LAST_EVENT_ID_HEADER
    if position is None:
        return last
    if position > last:
        raise _invalid(field, f"is beyond the newest event, {last}")
    return position


def _read_last_event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_POSITION):
        raise _invalid(LAST_EVENT_ID_HEADER, "is not a position")
    return int(text)


def _invalid(field: str, fault: str) -> InvalidRequestError:
    return InvalidRequestError(
        "invalid_request", f"The request is malformed: {field}: {fault}.", errors=[FieldError(field, fault)]
    )


def _view_digest(digest: EventSetDigest) -> DigestView:
    return DigestView(count=digest.count, digest=digest.hexdigest())
