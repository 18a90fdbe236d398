"""Routes of users: look-ups, roles and locks."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.routes import ACCEPTED, waiting_response
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import caller_of, read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.users.administration import Administration
from daemons.user_api.users.models import (
    LockChange,
    RoleChange,
    UserList,
    UserQuery,
    UserView,
)
from daemons.user_api.users.service import Users
from daemons.user_api.users.user import User, user_not_found

routes = Routes("users")
USERS_KEY = web.AppKey("users", Users)
ADMINISTRATION_KEY = web.AppKey("administration", Administration)
APPROVALS_AREA = "users"


@routes.add("GET", "/users/me", permission=Permission.SIGNED_IN, answer=UserView)
async def show_me(request: web.Request) -> web.Response:
    """Show the signed-in user."""
    user = await request.app[USERS_KEY].find(caller_of(request).user_id)
    return json_response(UserView.of(user))


@routes.add("GET", "/users", permission=Permission.READ_USERS, query=UserQuery, answer=UserList)
async def show_users(request: web.Request) -> web.Response:
    """List users, newest first."""
    query = read_query(request, UserQuery)
    page = await request.app[USERS_KEY].page(limit=query.limit, cursor=query.cursor, email=query.email)
    items = [UserView.of(user) for user in page.users]
    return json_response(UserList(items=items, next_cursor=page.next_cursor))


@routes.add("GET", "/users/{id}", permission=Permission.READ_USERS, answer=UserView)
async def show_user(request: web.Request) -> web.Response:
    """Show a user."""
    user = await request.app[USERS_KEY].find(read_uuid(request, "id", missing=user_not_found()))
    return json_response(UserView.of(user))


@routes.add(
    "PATCH",
    "/users/{id}/role",
    permission=Permission.MANAGE_USERS,
    body=RoleChange,
    answer=UserView,
    other_answers={ACCEPTED: ApprovalView},
)
async def set_role(request: web.Request) -> web.Response:
    """Give a user another role and end their sessions and API keys; it may wait for approval."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, RoleChange)
    done = await request.app[ADMINISTRATION_KEY].give_role(
        user_id, body.role, actor=actor_of(request), reason=body.reason
    )
    return await _done_or_waiting(request, done)


@routes.add(
    "PATCH",
    "/users/{id}/lock",
    permission=Permission.MANAGE_USERS,
    body=LockChange,
    answer=UserView,
    other_answers={ACCEPTED: ApprovalView},
)
async def lock(request: web.Request) -> web.Response:
    """Lock a user out and end their sessions and API keys; for staff it may wait for approval."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, LockChange)
    done = await request.app[ADMINISTRATION_KEY].lock(user_id, actor=actor_of(request), reason=body.reason)
    return await _done_or_waiting(request, done)


@routes.add(
    "PATCH",
    "/users/{id}/unlock",
    permission=Permission.MANAGE_USERS,
    body=LockChange,
    answer=UserView,
    other_answers={ACCEPTED: ApprovalView},
)
async def unlock(request: web.Request) -> web.Response:
    """Let a locked user sign in again; for staff it may wait for approval."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, LockChange)
    done = await request.app[ADMINISTRATION_KEY].unlock(user_id, actor=actor_of(request), reason=body.reason)
    return await _done_or_waiting(request, done)


@routes.add(
    "PATCH",
    "/users/{id}/reset-second-factor",
    permission=Permission.MANAGE_USERS,
    body=LockChange,
    answer=ApprovalView,
    status=ACCEPTED,
)
async def reset_factor(request: web.Request) -> web.Response:
    """Ask for a user's lost second factor to be removed; another administrator must approve."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, LockChange)
    asked = await request.app[ADMINISTRATION_KEY].ask_for_factor_reset(
        user_id, actor=actor_of(request), reason=body.reason
    )
    return await waiting_response(request, asked, area=APPROVALS_AREA)


async def _done_or_waiting(request: web.Request, done: User | Approval) -> web.Response:
    if isinstance(done, Approval):
        return await waiting_response(request, done, area=APPROVALS_AREA)
    return json_response(UserView.of(done))
