"""Where a request comes from, as a session's list shows it. Nothing is decided by it."""

from ipaddress import ip_address

from aiohttp import web

_DEVICE_LENGTH = 120
_UNKNOWN = "unknown"


def address_of(request: web.Request) -> str:
    """Return the caller's IP address.

    X-Forwarded-For counts only when the gateway sends it: it is on this machine and overwrites what
    clients put there. Anybody else could write what they like.
    """
    peer = _parse(request.remote)
    if peer is None or not ip_address(peer).is_loopback:
        return peer or _UNKNOWN
    return _parse(request.headers.get("X-Forwarded-For")) or peer


def device_of(request: web.Request) -> str:
    """Return the User-Agent cut to 120 characters, without what could drive a terminal."""
    agent = request.headers.get("User-Agent", "")
    printable = "".join(character for character in agent if character.isprintable())
    return printable[:_DEVICE_LENGTH].strip() or _UNKNOWN


def _parse(text: str | None) -> str | None:
    try:
        return str(ip_address((text or "").rpartition(",")[2].strip()))
    except ValueError:
        return None
