"""The routes that the fuzzer and Schemathesis send to: all of them, but for reasons that stand here."""

from collections.abc import Mapping

from daemons.shared.http.routes import Route
from tests.support.callers import routes

LEFT_OUT: Mapping[tuple[str, str], str] = {}
"""Method and path of a route, and why nothing is sent to it."""


def exercised() -> list[tuple[str, Route]]:
    """Return every declared route of every daemon, with the daemon's name, but those left out."""
    return [(daemon, route) for daemon, route in routes() if (route.method, route.path) not in LEFT_OUT]
