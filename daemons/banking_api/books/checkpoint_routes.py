"""Routes of checkpoints and receipts."""

from base64 import b64encode

from aiohttp import web

from daemons.banking_api.books.checkpoint_models import (
    CheckpointKeysView,
    CheckpointPage,
    CheckpointView,
    ConsistencyQuery,
    ConsistencyView,
    InclusionView,
    ReceiptRequest,
    ReceiptView,
    RecordView,
)
from daemons.banking_api.books.checkpoints import Checkpoints, Consistency
from daemons.banking_api.books.receipts import Inclusion, Receipt, Receipts
from daemons.banking_api.books.views import checkpoint_view
from daemons.banking_api.transactions.routes import STATEMENTS_KEY, admit_to_transaction
from daemons.banking_api.transactions.statements import transaction_not_found
from daemons.contracts.checkpoint import RECEIPT_FORMAT
from daemons.contracts.errors import NotFoundError
from daemons.contracts.permissions import Permission
from daemons.shared.http.answers import json_response
from daemons.shared.http.pages import PageQuery, decode_number_cursor, encode_number_cursor
from daemons.shared.http.requests import caller_of, invalid_field, read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes

routes = Routes("ledger")

CHECKPOINTS_KEY = web.AppKey("checkpoints", Checkpoints)
RECEIPTS_KEY = web.AppKey("receipts", Receipts)
_LONGEST_NUMBER = 12


@routes.add(
    "GET",
    "/ledger/checkpoints",
    permission=Permission.PROVE_LEDGER,
    query=PageQuery,
    answer=CheckpointPage,
)
async def list_checkpoints(request: web.Request) -> web.Response:
    """List what the bank has signed of its journal, newest first."""
    query = read_query(request, PageQuery)
    before = decode_number_cursor(query.cursor)
    found = await request.app[CHECKPOINTS_KEY].before(before, limit=query.limit + 1)
    shown = found[: query.limit]
    cursor = encode_number_cursor(shown[-1].number) if len(found) > len(shown) else None
    return json_response(CheckpointPage(items=[checkpoint_view(one) for one in shown], next_cursor=cursor))


@routes.add("GET", "/ledger/checkpoints/{seq}", permission=Permission.PROVE_LEDGER, answer=CheckpointView)
async def show_checkpoint(request: web.Request) -> web.Response:
    """Show one checkpoint."""
    text = request.match_info["seq"]
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        raise NotFoundError("checkpoint_not_found", "There is no such checkpoint.")
    return json_response(checkpoint_view(await request.app[CHECKPOINTS_KEY].get(int(text))))


@routes.add("GET", "/ledger/checkpoint-keys", permission=Permission.PUBLIC, answer=CheckpointKeysView)
async def checkpoint_keys(request: web.Request) -> web.Response:
    """Publish the keys by which anybody can check a checkpoint."""
    keys = request.app[CHECKPOINTS_KEY].keys.known
    return json_response(CheckpointKeysView(keys=[key.text() for key in keys]))


@routes.add(
    "GET",
    "/ledger/consistency",
    permission=Permission.PROVE_LEDGER,
    query=ConsistencyQuery,
    answer=ConsistencyView,
)
async def show_consistency(request: web.Request) -> web.Response:
    """Show that the journal of one size is the beginning of that of another."""
    query = read_query(request, ConsistencyQuery)
    if query.older > query.newer:
        raise invalid_field("older", "is larger than `newer`")
    found = await request.app[CHECKPOINTS_KEY].consistency(query.older, query.newer)
    return json_response(_consistency_view(found))


@routes.add(
    "POST",
    "/transactions/{id}/receipt",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=ReceiptRequest,
    answer=ReceiptView,
)
async def make_receipt(request: web.Request) -> web.Response:
    """Make the receipt of a transaction that concerns the caller; a checkpoint is made if none covers it."""
    body, caller = await read_body(request, ReceiptRequest), caller_of(request)
    transaction_id = read_uuid(request, "id", missing=transaction_not_found())
    found = await request.app[STATEMENTS_KEY].transaction(caller, transaction_id)
    await admit_to_transaction(request, found.record)
    whole = caller.may(Permission.READ_ANY_ACCOUNT)
    receipt = await request.app[RECEIPTS_KEY].of(found.record.id, whole=whole, since=body.since)
    return json_response(_receipt_view(receipt))


def _consistency_view(found: Consistency) -> ConsistencyView:
    return ConsistencyView(older=found.older, newer=found.newer, path=[_text(node) for node in found.path])


def _inclusion_view(found: Inclusion) -> InclusionView:
    return InclusionView(index=found.index, size=found.size, path=[_text(node) for node in found.path])


def _receipt_view(receipt: Receipt) -> ReceiptView:
    return ReceiptView(
        format=RECEIPT_FORMAT,
        transaction_id=str(receipt.record_id),
        record=RecordView(
            before=_text(receipt.before),
            entries=None if receipt.entries is None else _text(receipt.entries),
            entries_hash=_text(receipt.entries_hash),
            after=_text(receipt.after),
        ),
        record_inclusion=_inclusion_view(receipt.in_group),
        seal=_text(receipt.seal),
        seal_inclusion=_inclusion_view(receipt.in_journal),
        checkpoint=receipt.checkpoint,
        consistency=None if receipt.consistency is None else _consistency_view(receipt.consistency),
    )


def _text(data: bytes) -> str:
    return b64encode(data).decode()
