"""Routes of users: look-ups, roles and locks."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.contracts.wire import ReasonGiven
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.routes import ACCEPTED, waiting_response
from daemons.shared.approvals.views import ApprovalView
from daemons.shared.audit.readings import EVERYBODY, READINGS_KEY, admit_reading
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.requests import caller_of, read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes
from daemons.user_api.users.administration import Administration
from daemons.user_api.users.models import (
    EnrolmentCodeView,
    MaskedUserView,
    RoleChange,
    UserList,
    UserQuery,
    UserView,
)
from daemons.user_api.users.personal_data import PersonalData, PersonalDataReader
from daemons.user_api.users.service import Users
from daemons.user_api.users.user import User, user_not_found

routes = Routes("users")
USERS_KEY = web.AppKey("users", Users)
PERSONAL_DATA_KEY = web.AppKey("personal_data", PersonalDataReader)
ADMINISTRATION_KEY = web.AppKey("administration", Administration)
APPROVALS_AREA = "users"


@routes.add("GET", "/users/me", permission=Permission.SIGNED_IN, answer=UserView)
async def show_me(request: web.Request) -> web.Response:
    """Show the signed-in user."""
    user = await request.app[USERS_KEY].find(caller_of(request).user_id)
    return json_response(UserView.of(user))


@routes.add("GET", "/users/me/data", permission=Permission.USE_OWN_SESSION, answer=PersonalData)
async def show_my_data(request: web.Request) -> web.Response:
    """Show all that user_api holds about the signed-in user."""
    return json_response(await request.app[PERSONAL_DATA_KEY].of(caller_of(request).user_id))


@routes.add("GET", "/users", permission=Permission.READ_USERS, query=UserQuery, answer=UserList)
async def show_users(request: web.Request) -> web.Response:
    """List users, newest first."""
    query = read_query(request, UserQuery)
    page = await request.app[USERS_KEY].page(limit=query.limit, cursor=query.cursor, email=query.email)
    named = {user.id for user in page.users if not user.is_staff}
    await admit_reading(request, {EVERYBODY} if query.email is None else named, what="user")
    items = [UserView.of(user) for user in page.users]
    return json_response(UserList(items=items, next_cursor=page.next_cursor))


@routes.add("GET", "/users/{id}", permission=Permission.READ_USERS, answer=UserView)
async def show_user(request: web.Request) -> web.Response:
    """Show a user."""
    user = await request.app[USERS_KEY].find(read_uuid(request, "id", missing=user_not_found()))
    if not user.is_staff:
        await admit_reading(request, {user.id}, what="user")
    return json_response(UserView.of(user))


@routes.add(
    "POST",
    "/users/{id}/erase",
    permission=Permission.MANAGE_USERS,
    body=ReasonGiven,
    answer=ApprovalView,
    status=ACCEPTED,
)
async def erase_user(request: web.Request) -> web.Response:
    """Ask for a customer's personal data to be erased; another admin must approve."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, ReasonGiven)
    asked = await request.app[ADMINISTRATION_KEY].ask_to_erase(
        user_id, actor=actor_of(request), reason=body.reason
    )
    return await waiting_response(request, asked, area=APPROVALS_AREA)


@routes.add(
    "POST",
    "/users/{id}/enrolment-code",
    permission=Permission.MANAGE_USERS,
    body=ReasonGiven,
    answer=EnrolmentCodeView,
    status=201,
)
async def hand_out_enrolment_code(request: web.Request) -> web.Response:
    """Hand out a code with which one of the staff enrols their first second factor; shown only once."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, ReasonGiven)
    code = await request.app[ADMINISTRATION_KEY].hand_out_enrolment_code(
        user_id, actor=actor_of(request), reason=body.reason
    )
    return json_response(EnrolmentCodeView(code=code.text, expires_at=code.expires_at), status=201)


@routes.add(
    "POST",
    "/users/{id}/view-as",
    permission=Permission.READ_USERS,
    body=ReasonGiven,
    answer=MaskedUserView,
)
async def view_as(request: web.Request) -> web.Response:
    """Begin to look at the bank as a customer sees it, read-only and for a while; the customer sees that."""
    user = await request.app[USERS_KEY].find(read_uuid(request, "id", missing=user_not_found()))
    body = await read_body(request, ReasonGiven)
    await request.app[READINGS_KEY].admit(actor_of(request), {user.id}, what="view_as", reason=body.reason)
    return json_response(MaskedUserView.of(user))


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
    body=ReasonGiven,
    answer=UserView,
    other_answers={ACCEPTED: ApprovalView},
)
async def lock(request: web.Request) -> web.Response:
    """Lock a user out and end their sessions and API keys; for staff it may wait for approval."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, ReasonGiven)
    done = await request.app[ADMINISTRATION_KEY].lock(user_id, actor=actor_of(request), reason=body.reason)
    return await _done_or_waiting(request, done)


@routes.add(
    "PATCH",
    "/users/{id}/unlock",
    permission=Permission.MANAGE_USERS,
    body=ReasonGiven,
    answer=UserView,
    other_answers={ACCEPTED: ApprovalView},
)
async def unlock(request: web.Request) -> web.Response:
    """Let a locked user sign in again; for staff it may wait for approval."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, ReasonGiven)
    done = await request.app[ADMINISTRATION_KEY].unlock(user_id, actor=actor_of(request), reason=body.reason)
    return await _done_or_waiting(request, done)


@routes.add(
    "PATCH",
    "/users/{id}/reset-second-factor",
    permission=Permission.MANAGE_USERS,
    body=ReasonGiven,
    answer=ApprovalView,
    status=ACCEPTED,
)
async def reset_factor(request: web.Request) -> web.Response:
    """Ask for a user's lost second factor to be removed; another administrator must approve."""
    user_id = read_uuid(request, "id", missing=user_not_found())
    body = await read_body(request, ReasonGiven)
    asked = await request.app[ADMINISTRATION_KEY].ask_for_factor_reset(
        user_id, actor=actor_of(request), reason=body.reason
    )
    return await waiting_response(request, asked, area=APPROVALS_AREA)


async def _done_or_waiting(request: web.Request, done: User | Approval) -> web.Response:
    if isinstance(done, Approval):
        return await waiting_response(request, done, area=APPROVALS_AREA)
    return json_response(UserView.of(done))
