"""Routes of accounts."""

from uuid import UUID

from aiohttp import web

from daemons.banking_api.accounts.models import (
    AccountPage,
    AccountQuery,
    AccountView,
    BalanceView,
    NewName,
    NewType,
    OpenAccount,
    OptionalReason,
)
from daemons.banking_api.accounts.service import Accounts
from daemons.banking_api.accounts.views import account_view
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.money import Money
from daemons.contracts.errors import ForbiddenError
from daemons.contracts.names import AccountStatus, AccountType
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import ReasonGiven
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.routes import ACCEPTED, waiting_response
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.audit.readings import EVERYBODY, admit_reading
from daemons.shared.clock import utc_now
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import (
    caller_of,
    optional_idempotency_key_of,
    read_body,
    read_query,
)
from daemons.shared.http.routes import IdempotencyKey, Routes

routes = Routes("accounts")
ACCOUNTS_KEY = web.AppKey("accounts", Accounts)
APPROVALS_AREA = "ledger"
_WAITING = {ACCEPTED: ApprovalView}


@routes.add(
    "POST",
    "/accounts",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=OpenAccount,
    answer=AccountView,
    status=201,
    idempotency_key=IdempotencyKey.OPTIONAL,
)
async def open_account(request: web.Request) -> web.Response:
    """Open an account for the caller."""
    body = await read_body(request, OpenAccount)
    opened = await request.app[ACCOUNTS_KEY].open(
        caller_of(request),
        type_=AccountType(body.type),
        currency=body.currency,
        name=body.name,
        idempotency_key=optional_idempotency_key_of(request),
    )
    return json_response(account_view(opened.account), status=201, replayed=opened.replayed)


@routes.add(
    "GET", "/accounts", permission=Permission.USE_OWN_ACCOUNTS, query=AccountQuery, answer=AccountPage
)
async def list_accounts(request: web.Request) -> web.Response:
    """List accounts, newest first."""
    query = read_query(request, AccountQuery)
    caller = caller_of(request)
    owner: UUID | None = caller.user_id
    if query.scope == "all" or query.owner_id is not None:
        if not caller.may(Permission.READ_ANY_ACCOUNT):
            raise ForbiddenError("forbidden", "Your role may not read other users' accounts.")
        owner = UUID(query.owner_id) if query.owner_id else None
        await admit_reading(request, {owner or EVERYBODY}, what="accounts")
    status = AccountStatus(query.status) if query.status else None
    accounts, cursor = await request.app[ACCOUNTS_KEY].page(
        owner, status=status, limit=query.limit, cursor=query.cursor
    )
    return json_response(AccountPage(items=[account_view(found) for found in accounts], next_cursor=cursor))


@routes.add("GET", "/accounts/{id}", permission=Permission.USE_OWN_ACCOUNTS, answer=AccountView)
async def show_account(request: web.Request) -> web.Response:
    """Show an account."""
    return json_response(account_view(await _read(request, what="account")))


@routes.add("GET", "/accounts/{id}/balance", permission=Permission.USE_OWN_ACCOUNTS, answer=BalanceView)
async def show_balance(request: web.Request) -> web.Response:
    """Show an account's balance."""
    account = await _read(request, what="balance")
    view = BalanceView(
        account_id=account.id,
        balance=Money(account.balance_minor, account.terms.currency).view(),
        status=account.terms.status,
        sequence=account.sequence,
        as_of=utc_now(),
    )
    return json_response(view)


@routes.add(
    "PATCH",
    "/accounts/{id}/freeze",
    permission=Permission.FREEZE_ACCOUNTS,
    body=ReasonGiven,
    answer=AccountView,
)
async def freeze_account(request: web.Request) -> web.Response:
    """Freeze an account: no money moves on it until it is unfrozen."""
    body = await read_body(request, ReasonGiven)
    account_id = request.match_info["id"]
    account = await request.app[ACCOUNTS_KEY].freeze(actor_of(request), account_id, body.reason)
    return json_response(account_view(account))


@routes.add(
    "PATCH",
    "/accounts/{id}/unfreeze",
    permission=Permission.FREEZE_ACCOUNTS,
    body=ReasonGiven,
    answer=AccountView,
    other_answers=_WAITING,
)
async def unfreeze_account(request: web.Request) -> web.Response:
    """Unfreeze an account; it may wait for a second person."""
    body = await read_body(request, ReasonGiven)
    account_id = request.match_info["id"]
    done = await request.app[ACCOUNTS_KEY].unfreeze(actor_of(request), account_id, body.reason)
    if isinstance(done, Approval):
        return await waiting_response(request, done, area=APPROVALS_AREA)
    return json_response(account_view(done))


@routes.add(
    "PATCH",
    "/accounts/{id}/type",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=NewType,
    answer=AccountView,
)
async def change_account_type(request: web.Request) -> web.Response:
    """Change an account's type."""
    body = await read_body(request, NewType)
    account = await request.app[ACCOUNTS_KEY].change_type(
        caller_of(request), actor_of(request), request.match_info["id"], AccountType(body.type)
    )
    return json_response(account_view(account))


@routes.add(
    "PATCH",
    "/accounts/{id}/name",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=NewName,
    answer=AccountView,
)
async def rename_account(request: web.Request) -> web.Response:
    """Give an account another name, or none."""
    body = await read_body(request, NewName)
    account = await request.app[ACCOUNTS_KEY].rename(
        caller_of(request), actor_of(request), request.match_info["id"], body.name
    )
    return json_response(account_view(account))


@routes.add(
    "PATCH",
    "/accounts/{id}/close",
    permission=Permission.USE_OWN_ACCOUNTS,
    body=OptionalReason,
    answer=AccountView,
)
async def close_account(request: web.Request) -> web.Response:
    """Close an empty account for good."""
    body = await read_body(request, OptionalReason)
    account_id = request.match_info["id"]
    account = await request.app[ACCOUNTS_KEY].close(
        caller_of(request), actor_of(request), account_id, body.reason
    )
    return json_response(account_view(account))


async def _read(request: web.Request, *, what: str) -> Account:
    """Return the account that the path names; staff who read a customer's say why."""
    account = await request.app[ACCOUNTS_KEY].fetch(caller_of(request), request.match_info["id"])
    if account.terms.owner is not None and account.terms.owner != caller_of(request).user_id:
        await admit_reading(request, {account.terms.owner}, what=what)
    return account
