"""The stream of events."""

from aiohttp import web

from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.contracts.names import LAST_EVENT_ID_HEADER
from daemons.contracts.permissions import Permission
from daemons.notifier.event_log.models import EventView, StreamQuery
from daemons.notifier.event_log.routes import HISTORY_KEY, admit_to_events
from daemons.notifier.streams.streams import Beginning, EventStreams
from daemons.shared.http.pages import LARGEST_NUMBER
from daemons.shared.http.requests import caller_of, read_query
from daemons.shared.http.routes import Routes

routes = Routes("events")
STREAMS_KEY = web.AppKey("streams", EventStreams)
_LONGEST_POSITION = len(str(LARGEST_NUMBER))


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
    await admit_to_events(request, query.selection)
    streams = request.app[STREAMS_KEY]
    with streams.slot(caller_of(request)):
        return await streams.serve(request, await _beginning(request, query))


async def _beginning(request: web.Request, query: StreamQuery) -> Beginning:
    """Find where the stream begins: the position named, else event or time, else the newest event's.

    Raises:
        InvalidRequestError: the position is malformed or has not been given out.
        NotFoundError: there is no event from which on it should begin.
    """
    history, selection = request.app[HISTORY_KEY], query.selection
    named = request.headers.get(LAST_EVENT_ID_HEADER)
    last = await history.last_position()
    if named is None:
        position, field = query.after, "after"
    else:
        position, field = _read_last_event_id(named), LAST_EVENT_ID_HEADER
    if position is None:
        asked = query.first_id is not None or selection.since is not None
        position = await history.position_before(selection, first=query.first_id) if asked else last
    if position > last:
        raise _invalid(field, f"is beyond the newest event, {last}")
    return Beginning(position, last, selection)


def _read_last_event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_POSITION):
        raise _invalid(LAST_EVENT_ID_HEADER, "is not a position")
    return int(text)


def _invalid(field: str, fault: str) -> InvalidRequestError:
    return InvalidRequestError(
        "invalid_request", f"The request is malformed: {field}: {fault}.", errors=[FieldError(field, fault)]
    )
