"""Dead letters: listed and shown to support staff, replayed by operators."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.names import LetterStatus
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import ReasonGiven
from daemons.notifier.dead_letters.models import (
    DeadLetterPage,
    DeadLetterQuery,
    DeadLetterView,
    IntakeView,
    ReplayOrder,
    ReplayReport,
)
from daemons.notifier.dead_letters.service import DeadLetters, dead_letter_not_found
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes

routes = Routes("dead letters")
DEAD_LETTERS_KEY = web.AppKey("dead_letters", DeadLetters)
_READ, _REPLAY = Permission.READ_DEAD_LETTERS, Permission.REPLAY_DEAD_LETTERS


@routes.add("GET", "/dead-letters", permission=_READ, query=DeadLetterQuery, answer=DeadLetterPage)
async def list_dead_letters(request: web.Request) -> web.Response:
    """List records that could not be decoded, newest first, and the state of the intake."""
    query = read_query(request, DeadLetterQuery)
    letters = request.app[DEAD_LETTERS_KEY]
    page, cursor = await letters.page(
        topic=query.topic,
        status=LetterStatus(query.status) if query.status else None,
        limit=query.limit,
        cursor=query.cursor,
    )
    return json_response(
        DeadLetterPage(
            items=[DeadLetterView.summary_of(letter) for letter in page],
            next_cursor=cursor,
            intake=IntakeView.of(await letters.intake(), letters.limit),
        )
    )


@routes.add("GET", "/dead-letters/{id}", permission=_READ, answer=DeadLetterView)
async def show_dead_letter(request: web.Request) -> web.Response:
    """Show a record that could not be decoded, as received, and its outcome."""
    letter = await request.app[DEAD_LETTERS_KEY].fetch(_letter_id(request))
    return json_response(DeadLetterView.of(letter))


@routes.add("POST", "/dead-letters/{id}/replay", permission=_REPLAY, answer=DeadLetterView)
async def replay_dead_letter(request: web.Request) -> web.Response:
    """Decode a letter again: an event takes effect once; an unreadable one keeps the reason."""
    letter = await request.app[DEAD_LETTERS_KEY].replay(actor_of(request), _letter_id(request))
    return json_response(DeadLetterView.of(letter))


@routes.add("POST", "/dead-letters/replay", permission=_REPLAY, body=ReplayOrder, answer=ReplayReport)
async def replay_dead_letters(request: web.Request) -> web.Response:
    """Replay the next open letters, of all topics or of one; `after` continues an earlier answer."""
    order = await read_body(request, ReplayOrder)
    done = await request.app[DEAD_LETTERS_KEY].replay_open(
        actor_of(request),
        topic=order.topic,
        after=UUID(order.after) if order.after else None,
    )
    return json_response(ReplayReport.of(done))


@routes.add("POST", "/dead-letters/resume", permission=_REPLAY, body=ReasonGiven, answer=IntakeView)
async def resume_dead_letters(request: web.Request) -> web.Response:
    """Let a consumer that the limit has stopped set records aside again, with a new count."""
    body = await read_body(request, ReasonGiven)
    intake = await request.app[DEAD_LETTERS_KEY].reopen_intake(actor_of(request), reason=body.reason)
    return json_response(IntakeView.of(intake, request.app[DEAD_LETTERS_KEY].limit))


def _letter_id(request: web.Request) -> UUID:
    return read_uuid(request, "id", missing=dead_letter_not_found())
