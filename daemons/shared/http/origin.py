"""Where a request comes from, and who acts by it, for lists of sessions and for the audit."""

from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

from daemons.shared.audit.record import Actor, Origin
from daemons.shared.http.requests import caller_of, request_id_of

Network = IPv4Network | IPv6Network
GATEWAYS_KEY = web.AppKey("gateways", list[Network])
_UNKNOWN = "unknown"


def address_of(request: web.Request) -> str:
    """Return the caller's IP address.

    X-Forwarded-For counts only when a gateway sends it, which overwrites what clients put there: from this
    machine, or from a network that the settings name. Anybody else could write what they like.
    """
    peer = _parse(request.remote)
    if peer is None:
        return _UNKNOWN
    address = ip_address(peer)
    trusted = address.is_loopback or any(address in network for network in request.app.get(GATEWAYS_KEY, []))
    return (_parse(request.headers.get("X-Forwarded-For")) if trusted else None) or peer


def origin_of(request: web.Request) -> Origin:
    """Return from where this request comes, as the audit keeps it."""
    return Origin(address=address_of(request), request_id=request_id_of(request))


def actor_of(request: web.Request) -> Actor:
    """Return who acts by this request, as the audit keeps it."""
    caller = caller_of(request)
    return Actor(
        user_id=caller.user_id,
        display_name=caller.display_name,
        role=caller.role.value,
        address=address_of(request),
        request_id=request_id_of(request),
    )


def _parse(text: str | None) -> str | None:
    try:
        return str(ip_address((text or "").rpartition(",")[2].strip()))
    except ValueError:
        return None
