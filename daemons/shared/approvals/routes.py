"""The routes of a daemon's approvals: list, show, approve, reject."""

from uuid import UUID

from aiohttp import web

from daemons.contracts.names import ApprovalStatus
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import ReasonGiven
from daemons.shared.approvals.approval import Approval, approval_not_found
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.views import (
    ApprovalPage,
    ApprovalQuery,
    ApprovalView,
    StaffPolicyView,
)
from daemons.shared.http.answers import json_response
from daemons.shared.http.origin import actor_of
from daemons.shared.http.pages import decode_id_cursor, encode_cursor
from daemons.shared.http.requests import read_body, read_query, read_uuid
from daemons.shared.http.routes import Routes

APPROVALS_KEY = web.AppKey("approvals", Approvals)
ACCEPTED = 202


def approval_routes(area: str, *, decide: Permission) -> Routes:
    """Make the routes below `/approvals/<area>`; `decide` is what approving and rejecting need."""
    routes = Routes("approvals", area=area)
    path, read = f"/approvals/{area}", Permission.READ_AUDIT

    @routes.add("GET", path, permission=read, query=ApprovalQuery, answer=ApprovalPage)
    async def list_approvals(request: web.Request) -> web.Response:
        """List requests for approval, newest first."""
        query = read_query(request, ApprovalQuery)
        # One more than asked tells whether another page follows.
        wanted = ApprovalStatus(query.status) if query.status else None
        approvals = request.app[APPROVALS_KEY]
        found = await approvals.page(
            status=wanted, before=decode_id_cursor(query.cursor), limit=query.limit + 1
        )
        shown = found[: query.limit]
        cursor = encode_cursor(shown[-1].id.bytes) if len(found) > query.limit else None
        judged = await approvals.judge(shown)
        items = [ApprovalView.of(one) for one in judged if wanted in {None, one.status}]
        return json_response(ApprovalPage(items=items, next_cursor=cursor))

    @routes.add("GET", f"{path}/policy", permission=read, answer=StaffPolicyView)
    async def show_policy(request: web.Request) -> web.Response:
        """Show which acts wait for approval, and what one person may do in a day."""
        return json_response(StaffPolicyView.of(request.app[APPROVALS_KEY].policy))

    @routes.add("GET", f"{path}/{{id}}", permission=read, answer=ApprovalView)
    async def show_approval(request: web.Request) -> web.Response:
        """Show a request for approval."""
        approval = await request.app[APPROVALS_KEY].fetch(_approval_id(request))
        return json_response(await _view(request, approval))

    @routes.add("POST", f"{path}/{{id}}/approve", permission=decide, answer=ApprovalView)
    async def approve(request: web.Request) -> web.Response:
        """Approve another person's request; it is carried out at once."""
        approval = await request.app[APPROVALS_KEY].approve(actor_of(request), _approval_id(request))
        return json_response(await _view(request, approval))

    @routes.add("POST", f"{path}/{{id}}/reject", permission=decide, body=ReasonGiven, answer=ApprovalView)
    async def reject(request: web.Request) -> web.Response:
        """Reject a request, or withdraw one's own."""
        approval_id = _approval_id(request)
        body = await read_body(request, ReasonGiven)
        approval = await request.app[APPROVALS_KEY].reject(actor_of(request), approval_id, reason=body.reason)
        return json_response(await _view(request, approval))

    return routes


async def waiting_response(request: web.Request, approval: Approval, *, area: str) -> web.Response:
    """Answer that the act waits for approval, and where."""
    location = f"/approvals/{area}/{approval.id}"
    return json_response(
        await _view(request, approval),
        status=ACCEPTED,
        headers={"Location": location},
        replayed=approval.replayed,
    )


async def _view(request: web.Request, approval: Approval) -> ApprovalView:
    [judged] = await request.app[APPROVALS_KEY].judge([approval])
    return ApprovalView.of(judged)


def _approval_id(request: web.Request) -> UUID:
    return read_uuid(request, "id", missing=approval_not_found())
