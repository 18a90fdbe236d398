"""The route by which a customer sees which of the staff have read their data, and why."""

from aiohttp import web

from daemons.contracts.permissions import Permission
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.shared.audit.readings import READINGS_KEY
from daemons.shared.http.answers import json_response
from daemons.shared.http.requests import caller_of
from daemons.shared.http.routes import Routes


class AccessView(WireModel):
    """That one of the staff has read the caller's data: in which role, why, when, and what."""

    id: UuidText
    role: str
    reason: str
    at: Instant
    until: Instant
    seen: list[str]


class AccessList(WireModel):
    """The newest ones first."""

    items: list[AccessView]


def reading_routes(area: str) -> Routes:
    """Make the route `/accesses/<area>`; the application holds the readings under `READINGS_KEY`."""
    routes = Routes("accesses", area=area)

    @routes.add("GET", f"/accesses/{area}", permission=Permission.USE_OWN_SESSION, answer=AccessList)
    async def list_accesses(request: web.Request) -> web.Response:
        """List which of the staff have read the caller's data, and why, newest first."""
        found = await request.app[READINGS_KEY].of(caller_of(request).user_id)
        items = [
            AccessView(
                id=str(one.id),
                role=one.role,
                reason=one.reason,
                at=one.at,
                until=one.until,
                seen=sorted(one.seen),
            )
            for one in found
        ]
        return json_response(AccessList(items=items))

    return routes
