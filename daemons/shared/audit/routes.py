"""The routes of a daemon's audit trail: list, show, prove. Nothing here writes."""

from aiohttp import web

from daemons.contracts.errors import FieldError, InvalidRequestError, NotFoundError
from daemons.contracts.permissions import Permission
from daemons.shared.audit.record import Head
from daemons.shared.audit.trail import AuditFilter, MongoAuditTrail
from daemons.shared.audit.verify import verify_trail
from daemons.shared.audit.views import AnchorQuery, AuditPage, AuditProofView, AuditQuery, AuditRecordView
from daemons.shared.http.answers import json_response
from daemons.shared.http.pages import decode_number_cursor, encode_number_cursor
from daemons.shared.http.requests import read_query
from daemons.shared.http.routes import Routes

AUDIT_KEY = web.AppKey("audit", MongoAuditTrail)
_LONGEST_NUMBER = 15


def audit_routes(trail: str) -> Routes:
    """Make the routes below `/audit/<trail>`; the application holds the trail under `AUDIT_KEY`."""
    routes = Routes("audit", area=trail)
    path, read = f"/audit/{trail}", Permission.READ_AUDIT

    @routes.add("GET", path, permission=read, query=AuditQuery, answer=AuditPage)
    async def list_audit_records(request: web.Request) -> web.Response:
        """List administrative acts and security events, newest first."""
        query = read_query(request, AuditQuery)
        wanted = AuditFilter(
            action=query.action,
            actor=query.actor,
            target=query.target,
            since=query.since,
            until=query.until,
        )
        # One more than asked tells whether another page follows.
        found = await request.app[AUDIT_KEY].page(
            wanted, before=decode_number_cursor(query.cursor), limit=query.limit + 1
        )
        items = [AuditRecordView.of(record) for record in found[: query.limit]]
        cursor = encode_number_cursor(items[-1].seq) if len(found) > query.limit else None
        return json_response(AuditPage(items=items, next_cursor=cursor))

    @routes.add("GET", f"{path}/proof", permission=read, query=AnchorQuery, answer=AuditProofView)
    async def prove_audit_trail(request: web.Request) -> web.Response:
        """Verify the trail: recompute every hash, and compare its end with an anchor if one is given."""
        query = read_query(request, AnchorQuery)
        if (query.count is None) != (query.hash is None):
            missing = "count" if query.count is None else "hash"
            fault = FieldError(missing, "an anchor has both count and hash")
            raise InvalidRequestError("invalid_request", f"{missing}: {fault.message}.", errors=[fault])
        anchor = None if query.count is None or query.hash is None else Head(query.count, query.hash)
        verdict = await verify_trail(request.app[AUDIT_KEY], anchor=anchor)
        return json_response(AuditProofView.of(verdict, trail=trail, anchored=anchor is not None))

    @routes.add("GET", f"{path}/{{seq}}", permission=read, answer=AuditRecordView)
    async def show_audit_record(request: web.Request) -> web.Response:
        """Show an administrative act or a security event."""
        number = request.match_info["seq"]
        known = number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER
        record = await request.app[AUDIT_KEY].find(int(number)) if known else None
        if record is None:
            raise NotFoundError("audit_record_not_found", "There is no such record.")
        return json_response(AuditRecordView.of(record))

    return routes
