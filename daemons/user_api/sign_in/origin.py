"""Where a request comes from, as a session's list shows it. Nothing is decided by it."""

from aiohttp import web

from daemons.shared.http.origin import origin_of

__all__ = ["device_of", "origin_of"]

_DEVICE_LENGTH = 120


def device_of(request: web.Request) -> str:
    """Return the User-Agent cut to 120 characters, without what could drive a terminal."""
    agent = request.headers.get("User-Agent", "")
    printable = "".join(character for character in agent if character.isprintable())
    return printable[:_DEVICE_LENGTH].strip() or "unknown"
