"""Routes of transactions."""

from uuid import UUID

from aiohttp import web

from daemons.banking_api.kinds.adjustment import AdjustAccount, Adjustment
from daemons.banking_api.kinds.confirmation import Confirmation
from daemons.banking_api.kinds.funding import FundAccount, Funding
from daemons.banking_api.kinds.reversal import Reversal, ReverseTransaction
from daemons.banking_api.kinds.withdrawal import Withdraw, Withdrawal, WithdrawAtCounter
from daemons.banking_api.ledger.record import Act, Record
from daemons.banking_api.money import parse_money
from daemons.banking_api.transactions.batch import (
    begin_atomic_rows,
    begin_rows,
    check_rows,
    last_key_of,
    order_of,
    results_of,
)
from daemons.banking_api.transactions.confirmation import ConfirmationPolicy
from daemons.banking_api.transactions.explanation import Explanation, Explanations
from daemons.banking_api.transactions.models import (
    ATOMIC_BODY_BYTES,
    BatchPreview,
    BatchPreviewView,
    BatchResults,
    PreviewView,
    StatementPage,
    TransactionInFull,
    TransactionPage,
    TransactionQuery,
    TransactionView,
    TransferBatch,
    TransferRequest,
)
from daemons.banking_api.transactions.overview import CustomerOverview, OverviewedAccount, user_not_found
from daemons.banking_api.transactions.preview_views import batch_preview_view, preview_view
from daemons.banking_api.transactions.service import Settled, Transactions, budget_of, transfer_command
from daemons.banking_api.transactions.statements import Statements, owners_of, transaction_not_found
from daemons.banking_api.transactions.views import (
    statement_line_view,
    transaction_document,
    transaction_in_full,
    transaction_view,
)
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.errors import ForbiddenError
from daemons.contracts.names import Direction, RecordStatus
from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.routes import ACCEPTED, waiting_response
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.audit.readings import EVERYBODY, admit_reading
from daemons.shared.http.answers import document_response, json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.pages import PageQuery
from daemons.shared.http.rates import RowLimit
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
TRANSACTIONS_KEY = web.AppKey("transactions", Transactions)
STATEMENTS_KEY = web.AppKey("statements", Statements)
EXPLANATIONS_KEY = web.AppKey("explanations", Explanations)
DIRECTORY_KEY = web.AppKey("directory", UserDirectory)
ROW_LIMIT_KEY = web.AppKey("row_limit", RowLimit)
CONFIRMATION_KEY = web.AppKey("confirmation", ConfirmationPolicy)
"""Set only where payments above an amount are confirmed."""
APPROVALS_AREA = "ledger"
_WAITING = {ACCEPTED: ApprovalView}


@routes.add(
    "POST",
    "/transactions/transfer",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=TransferRequest,
    answer=TransactionView,
    status=201,
    idempotency_key=IdempotencyKey.REQUIRED,
    takes_confirmation=True,
)
async def transfer(request: web.Request) -> web.Response:
    """Move money from one of the caller's accounts."""
    body = await read_body(request, TransferRequest)
    confirmation = await _confirmation(request, body, "to_account")
    command = transfer_command(caller_of(request), order_of(body), idempotency_key_of(request), confirmation)
    return settled_response(await request.app[TRANSACTIONS_KEY].order(command))


@routes.add(
    "POST",
    "/transactions/withdraw",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=Withdraw,
    answer=TransactionView,
    status=201,
    idempotency_key=IdempotencyKey.REQUIRED,
    takes_confirmation=True,
)
async def withdraw(request: web.Request) -> web.Response:
    """Pay from one of the caller's accounts to an account outside the bank."""
    body = await read_body(request, Withdraw)
    money = parse_money(body.amount, body.currency)
    command = Withdrawal(
        initiator=caller_of(request).user_id,
        idempotency_key=idempotency_key_of(request),
        from_account=body.from_account,
        amount_minor=money.minor,
        currency=money.currency,
        reference=body.reference,
        name=body.beneficiary.name,
        iban=body.beneficiary.iban,
        confirmation=await _confirmation(request, body, "beneficiary"),
        budget=budget_of(caller_of(request)),
    )
    return settled_response(await request.app[TRANSACTIONS_KEY].order(command))


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
    preview = await request.app[TRANSACTIONS_KEY].preview(caller_of(request), order)
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
    preview = await request.app[TRANSACTIONS_KEY].preview_slice(caller, commands, body.carried)
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
    takes_confirmation=True,
    maximum_body_bytes=ATOMIC_BODY_BYTES,
)
async def transfer_batch(request: web.Request) -> web.Response:
    """Move money for many rows, each on its own or all or none; `after` makes it follow another batch."""
    minimal = prefers_minimal(request)
    body = await read_body(request, TransferBatch)
    caller, transactions = caller_of(request), request.app[TRANSACTIONS_KEY]
    request.app[ROW_LIMIT_KEY].admit(caller, len(body.transfers))
    policy = request.app.get(CONFIRMATION_KEY)
    confirmation_of = (
        None if policy is None else await policy.of_batch(request.headers, caller, body.transfers)
    )
    with transactions.turn(caller, last_key=last_key_of(body), after=body.after) as turn:
        begin = begin_atomic_rows if body.atomic else begin_rows
        begun = await begin(body, caller, confirmation_of, transactions, turn)
        outcomes = await transactions.end(waiting for _, waiting in begun)
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
    if query.scope == "all":
        await admit_reading(request, {EVERYBODY}, what="transactions")
    records, cursor = await request.app[STATEMENTS_KEY].initiated(
        None if query.scope == "all" else caller.user_id,
        status=RecordStatus(query.status) if query.status else None,
        limit=query.limit,
        cursor=query.cursor,
    )
    items = [transaction_view(found) for found in records]
    return json_response(TransactionPage(items=items, next_cursor=cursor))


@routes.add("GET", "/transactions/{id}", permission=Permission.USE_OWN_ACCOUNTS, answer=TransactionInFull)
async def show_transaction(request: web.Request) -> web.Response:
    """Show a transaction that concerns the caller, and what later ones take back of it."""
    transaction_id = read_uuid(request, "id", missing=transaction_not_found())
    caller = caller_of(request)
    found = await request.app[STATEMENTS_KEY].transaction(caller, transaction_id)
    await admit_to_transaction(request, found.record)
    return json_response(transaction_in_full(found))


@routes.add(
    "GET",
    "/transactions/{id}/explanation",
    permission=Permission.USE_OWN_ACCOUNTS,
    answer=Explanation,
)
async def explain_transaction(request: web.Request) -> web.Response:
    """Explain a transaction: who asked, what was checked, entries with balances, and its seal."""
    transaction_id = read_uuid(request, "id", missing=transaction_not_found())
    caller, explanations = caller_of(request), request.app[EXPLANATIONS_KEY]
    record = await explanations.find(caller, transaction_id)
    await admit_to_transaction(request, record)
    return json_response(await explanations.explain(caller, record))


@routes.add(
    "GET",
    "/accounts/{id}/transactions",
    permission=Permission.USE_OWN_ACCOUNTS,
    query=PageQuery,
    answer=StatementPage,
)
async def account_history(request: web.Request) -> web.Response:
    """Show an account's statement, newest line first."""
    query = read_query(request, PageQuery)
    caller, account_id = caller_of(request), request.match_info["id"]
    statements = request.app[STATEMENTS_KEY]
    owner = await statements.owner_of(caller, account_id)
    if owner is not None and owner != caller.user_id:
        await admit_reading(request, {owner}, what="statement")
    lines, cursor = await statements.account_history(account_id, limit=query.limit, cursor=query.cursor)
    return json_response(
        StatementPage(items=[statement_line_view(line) for line in lines], next_cursor=cursor)
    )


@routes.add("GET", "/accounts/view-as/{id}", permission=Permission.READ_ANY_ACCOUNT, answer=CustomerOverview)
async def view_accounts_as(request: web.Request) -> web.Response:
    """Show a customer's accounts and their newest transactions, the other parties masked."""
    customer = read_uuid(request, "id", missing=user_not_found())
    await admit_reading(request, {customer}, what="view_as")
    found = await request.app[STATEMENTS_KEY].overview(customer)
    items = [OverviewedAccount.of(account, lines) for account, lines in found]
    return json_response(CustomerOverview(items=items))


@routes.add(
    "POST",
    "/accounts/{id}/fund",
    permission=Permission.FUND_ACCOUNTS,
    body=FundAccount,
    answer=TransactionView,
    status=201,
    other_answers=_WAITING,
    idempotency_key=IdempotencyKey.REQUIRED,
)
async def fund_account(request: web.Request) -> web.Response:
    """Book money that has come in from outside the bank; above a limit it waits for a second person."""
    body, actor = await read_body(request, FundAccount), actor_of(request)
    money = parse_money(body.amount, body.currency)
    command = Funding(
        initiator=caller_of(request).user_id,
        idempotency_key=idempotency_key_of(request),
        act=Act(actor=actor),
        to_account=request.match_info["id"],
        amount_minor=money.minor,
        currency=money.currency,
        reference=body.reference,
    )
    return await booked_response(request, await request.app[TRANSACTIONS_KEY].book(actor, command))


@routes.add(
    "POST",
    "/accounts/{id}/withdraw",
    permission=Permission.WITHDRAW_AT_COUNTER,
    body=WithdrawAtCounter,
    answer=TransactionView,
    status=201,
    other_answers=_WAITING,
    idempotency_key=IdempotencyKey.REQUIRED,
)
async def withdraw_at_counter(request: web.Request) -> web.Response:
    """Book money that was handed out to a customer; above a limit it waits for a second person."""
    body, actor = await read_body(request, WithdrawAtCounter), actor_of(request)
    money = parse_money(body.amount, body.currency)
    command = Withdrawal(
        initiator=caller_of(request).user_id,
        idempotency_key=idempotency_key_of(request),
        act=Act(actor=actor),
        from_account=request.match_info["id"],
        amount_minor=money.minor,
        currency=money.currency,
        reference=body.reference,
    )
    return await booked_response(request, await request.app[TRANSACTIONS_KEY].book(actor, command))


@routes.add(
    "POST",
    "/accounts/{id}/adjust",
    permission=Permission.ADJUST_ACCOUNTS,
    body=AdjustAccount,
    answer=TransactionView,
    status=201,
    other_answers=_WAITING,
    idempotency_key=IdempotencyKey.REQUIRED,
)
async def adjust_account(request: web.Request) -> web.Response:
    """Correct an account's balance; it waits for a second person, and once approved answers the result."""
    body, actor = await read_body(request, AdjustAccount), actor_of(request)
    money = parse_money(body.amount, body.currency)
    command = Adjustment(
        initiator=caller_of(request).user_id,
        idempotency_key=idempotency_key_of(request),
        act=Act(actor=actor),
        account_id=request.match_info["id"],
        direction=Direction(body.direction),
        amount_minor=money.minor,
        currency=money.currency,
        reason=body.reason,
        corrects=UUID(body.corrects) if body.corrects else None,
    )
    return await booked_response(request, await request.app[TRANSACTIONS_KEY].adjust(actor, command))


@routes.add(
    "POST",
    "/transactions/{id}/reverse",
    permission=Permission.REVERSE_TRANSACTIONS,
    body=ReverseTransaction,
    answer=TransactionView,
    status=201,
    other_answers=_WAITING,
    idempotency_key=IdempotencyKey.REQUIRED,
)
async def reverse_transaction(request: web.Request) -> web.Response:
    """Take a transfer or a withdrawal back, whole or in part; it may wait for a second person."""
    body, actor, caller = await read_body(request, ReverseTransaction), actor_of(request), caller_of(request)
    transaction_id = read_uuid(request, "id", missing=transaction_not_found())
    found = await request.app[STATEMENTS_KEY].transaction(caller, transaction_id)
    command = Reversal.of(
        found.record,
        body,
        initiator=caller.user_id,
        idempotency_key=idempotency_key_of(request),
        act=Act(actor=actor),
    )
    return await booked_response(request, await request.app[TRANSACTIONS_KEY].book(actor, command))


async def _confirmation(
    request: web.Request, body: TransferRequest | Withdraw, payee: str
) -> Confirmation | None:
    """Return what is known of the second factor for a payment: what is confirmed are these fields of it."""
    policy = request.app.get(CONFIRMATION_KEY)
    if policy is None:
        return None
    named = {"from_account", payee, "amount", "currency"}
    payment = {**body.model_dump(include=named), "idempotency_key": idempotency_key_of(request)}
    return await policy.of_payment(request.headers, caller_of(request), payment)


async def admit_to_transaction(request: web.Request, record: Record) -> None:
    """Go on if the caller is a party to the transaction; staff say why they read it of its parties."""
    owners = owners_of(record)
    if caller_of(request).user_id not in owners:
        await admit_reading(request, owners, what="transaction")


async def booked_response(request: web.Request, done: Settled | Approval) -> web.Response:
    """Answer with what staff have booked, or with the request that waits for a second person."""
    if isinstance(done, Approval):
        return await waiting_response(request, done, area=APPROVALS_AREA)
    return settled_response(done)


def settled_response(settled: Settled) -> web.Response:
    """Answer with a posted transaction; a replay says so in a header."""
    document = transaction_document(settled.record)
    return document_response(document, status=201, replayed=settled.replayed)
