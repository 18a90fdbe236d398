"""How handlers reach the services' parts."""

from aiohttp import web

from daemons.user_api.parts import Parts

PARTS_KEY = web.AppKey("parts", Parts)


def parts_of(request: web.Request) -> Parts:
    """Return the parts of this process."""
    return request.app[PARTS_KEY]
