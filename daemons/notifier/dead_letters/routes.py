"""Dead letters: listed and shown to support staff, replayed by operators."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.notifier.dead_letters.dead_letter import LetterStatus
from daemons.notifier.dead_letters.models import (
    DeadLetterPage,
    DeadLetterQuery,
    DeadLetterView,
    IntakeView,
    ReplayOrder,
    ReplayReport,
    Resumption,
)
from daemons.notifier.dead_letters.service import dead_letter_not_found
from daemons.notifier.keys import LETTERS_KEY, LIMIT_KEY, REPLAYER_KEY
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.pages import decode_id_cursor, encode_cursor
from daemons.shared.http.requests import read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes

routes = Routes("dead letters")
_READ, _REPLAY = Permission.READ_DEAD_LETTERS, Permission.REPLAY_DEAD_LETTERS


@routes.add("GET", "/dead-letters", permission=_READ, query=DeadLetterQuery, answer=DeadLetterPage)
async def list_dead_letters(request: web.Request) -> web.Response:
    """List records that could not be decoded, newest first, and the state of the intake."""
    query = read_query(request, DeadLetterQuery)
    letters = request.app[LETTERS_KEY]
    # One more than asked tells whether another page follows.
    found = await letters.page(
        topic=query.topic,
        status=LetterStatus(query.status) if query.status else None,
        before=decode_id_cursor(query.cursor),
        limit=query.limit + 1,
    )
    shown = found[: query.limit]
    return json_response(
        DeadLetterPage(
            items=[DeadLetterView.summary_of(letter) for letter in shown],
            next_cursor=encode_cursor(shown[-1].id.bytes) if len(found) > query.limit else None,
            intake=IntakeView.of(await letters.intake(), request.app[LIMIT_KEY]),
        )
    )


@routes.add("GET", "/dead-letters/{id}", permission=_READ, answer=DeadLetterView)
async def show_dead_letter(request: web.Request) -> web.Response:
    """Show a record that could not be decoded, as received, and its outcome."""
    letter = await request.app[LETTERS_KEY].find(_letter_id(request))
    if letter is None:
        raise dead_letter_not_found()
    return json_response(DeadLetterView.of(letter))


@routes.add("POST", "/dead-letters/{id}/replay", permission=_REPLAY, answer=DeadLetterView)
async def replay_dead_letter(request: web.Request) -> web.Response:
    """Decode a letter again: an event takes effect once; an unreadable one keeps the reason."""
    letter = await request.app[REPLAYER_KEY].replay(actor_of(request), _letter_id(request))
    return json_response(DeadLetterView.of(letter))


@routes.add("POST", "/dead-letters/replay", permission=_REPLAY, body=ReplayOrder, answer=ReplayReport)
async def replay_dead_letters(request: web.Request) -> web.Response:
    """Replay the next open letters, of all topics or of one; `after` continues an earlier answer."""
    order = await read_body(request, ReplayOrder)
    done = await request.app[REPLAYER_KEY].replay_open(
        actor_of(request),
        topic=order.topic,
        after=UUID(order.after) if order.after else None,
    )
    return json_response(ReplayReport.of(done))


@routes.add("POST", "/dead-letters/resume", permission=_REPLAY, body=Resumption, answer=IntakeView)
async def resume_dead_letters(request: web.Request) -> web.Response:
    """Let a consumer that the limit has stopped set records aside again, with a new count."""
    body = await read_body(request, Resumption)
    intake = await request.app[REPLAYER_KEY].reopen_intake(actor_of(request), reason=body.reason)
    return json_response(IntakeView.of(intake, request.app[LIMIT_KEY]))


def _letter_id(request: web.Request) -> UUID:
    return read_uuid(request, "id", missing=dead_letter_not_found())
