"""Routes of transactions."""

from aiohttp import web

from daemons.banking_api.domain.journal import TransactionStatus
from daemons.banking_api.handlers.batch import (
    begin_atomic_rows,
    begin_rows,
    check_rows,
    last_key_of,
    results_of,
)
from daemons.banking_api.handlers.keys import (
    DIRECTORY_KEY,
    ROW_LIMIT_KEY,
    STATEMENTS_KEY,
    SUCCESSION_KEY,
    TRANSFERS_KEY,
)
from daemons.banking_api.handlers.orders import order_of
from daemons.banking_api.handlers.preview import batch_preview_view, preview_view
from daemons.banking_api.handlers.schemas import (
    ATOMIC_BODY_BYTES,
    BatchPreview,
    BatchPreviewView,
    BatchResults,
    PreviewView,
    TransactionPage,
    TransactionQuery,
    TransactionView,
    TransferBatch,
    TransferRequest,
)
from daemons.banking_api.handlers.views import transaction_document, transaction_view
from daemons.banking_api.services.statements import transaction_not_found
from daemons.banking_api.services.transfers import Settled
from daemons.contracts.errors import ForbiddenError
from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import document_response, json_response
from daemons.shared.http.requests import (
    RETURN_MINIMAL,
    caller_of,
    idempotency_key_of,
    prefers_minimal,
    read_body,
    read_query,
    read_uuid,
    request_id_of,
)
from daemons.shared.http.routes import IdempotencyKey, Routes

PREFERENCE_APPLIED_HEADER = "Preference-Applied"

routes = Routes("transactions")


@routes.add(
    "POST",
    "/transactions/transfer",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=TransferRequest,
    answer=TransactionView,
    status=201,
    idempotency_key=IdempotencyKey.REQUIRED,
)
async def transfer(request: web.Request) -> web.Response:
    """Move money from one of the caller's accounts."""
    order = order_of(await read_body(request, TransferRequest))
    settled = await request.app[TRANSFERS_KEY].transfer_funds(
        caller_of(request), order, idempotency_key=idempotency_key_of(request)
    )
    return settled_response(settled)


@routes.add(
    "POST",
    "/transactions/preview",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=TransferRequest,
    answer=PreviewView,
)
async def preview_transfer(request: web.Request) -> web.Response:
    """Preview a transfer, with both parties' names; nothing is written."""
    order = order_of(await read_body(request, TransferRequest))
    preview = await request.app[TRANSFERS_KEY].preview(caller_of(request), order)
    return json_response(await preview_view(preview, request.app[DIRECTORY_KEY]))


@routes.add(
    "POST",
    "/transactions/batch/preview",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=BatchPreview,
    answer=BatchPreviewView,
)
async def preview_batch(request: web.Request) -> web.Response:
    """Preview a batch row by row, with the effect of earlier rows; nothing is written."""
    body = await read_body(request, BatchPreview)
    caller = caller_of(request)
    request.app[ROW_LIMIT_KEY].admit(caller, len(body.transfers))
    checked = await check_rows(body.transfers, caller)
    commands = [row.command for row in checked if row.command is not None]
    preview = await request.app[TRANSFERS_KEY].preview_slice(caller, commands, body.carried)
    view = await batch_preview_view(
        checked, preview, request.app[DIRECTORY_KEY], request_id=request_id_of(request)
    )
    return json_response(view)


@routes.add(
    "POST",
    "/transactions/batch",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=TransferBatch,
    answer=BatchResults,
    minimal_on_request=True,
    maximum_body_bytes=ATOMIC_BODY_BYTES,
)
async def transfer_batch(request: web.Request) -> web.Response:
    """Move money for many rows, each on its own or all or none; `after` makes it follow another batch."""
    minimal = prefers_minimal(request)
    body = await read_body(request, TransferBatch)
    caller, transfers = caller_of(request), request.app[TRANSFERS_KEY]
    request.app[ROW_LIMIT_KEY].admit(caller, len(body.transfers))
    succession = request.app[SUCCESSION_KEY]
    with succession.turn(caller.user_id, last_key=last_key_of(body), after=body.after) as turn:
        begin = begin_atomic_rows if body.atomic else begin_rows
        begun = await begin(body, caller, transfers, turn)
        outcomes = await transfers.end(waiting for _, waiting in begun)
        turn.check(outcomes)
    results = await results_of(begun, outcomes, request_id=request_id_of(request), minimal=minimal)
    headers = {PREFERENCE_APPLIED_HEADER: RETURN_MINIMAL} if minimal else None
    return document_response({"results": results}, headers=headers)


@routes.add(
    "GET",
    "/transactions",
    permission=Permission.USE_OWN_ACCOUNTS,
    query=TransactionQuery,
    answer=TransactionPage,
)
async def list_transactions(request: web.Request) -> web.Response:
    """List the caller's transactions, or with `scope=all` everybody's, newest first."""
    query = read_query(request, TransactionQuery)
    caller = caller_of(request)
    if query.scope == "all" and not caller.may(Permission.READ_ANY_ACCOUNT):
        raise ForbiddenError("forbidden", "Your role may not read other users' transactions.")
    transactions, cursor = await request.app[STATEMENTS_KEY].initiated(
        None if query.scope == "all" else caller.user_id,
        status=TransactionStatus(query.status) if query.status else None,
        limit=query.limit,
        cursor=query.cursor,
    )
    items = [transaction_view(found) for found in transactions]
    return json_response(TransactionPage(items=items, next_cursor=cursor))


@routes.add("GET", "/transactions/{id}", permission=Permission.USE_OWN_ACCOUNTS, answer=TransactionView)
async def show_transaction(request: web.Request) -> web.Response:
    """Show a transaction that concerns the caller."""
    transaction_id = read_uuid(request, "id", missing=transaction_not_found())
    found = await request.app[STATEMENTS_KEY].transaction(caller_of(request), transaction_id)
    return json_response(transaction_view(found))


def settled_response(settled: Settled) -> web.Response:
    """Answer with a posted transaction; a replay says so in a header."""
    document = transaction_document(settled.transaction)
    return document_response(document, status=201, replayed=settled.replayed)
