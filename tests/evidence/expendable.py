"""People whose session, password or second factor may be lost: for the routes that end them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pyotp

from daemons.contracts.permissions import Permission
from daemons.shared.http.routes import Route
from tests.support.bank import PASSWORD, Bank, Person
from tests.support.callers import sign_in_again

_NEW_PASSWORD = "slate-orchard-77"
_ENDINGS = ("/auth/logout", "/auth/sessions", "/auth/change-password", "/auth/totp")


@dataclass(frozen=True)
class Expendable:
    """Somebody who is there for one route, and what a well-formed request of theirs holds."""

    person: Person
    fields: Callable[[], dict[str, Any]] | None = None
    ids: Mapping[str, str] = field(default_factory=dict)

    def path_of(self, route: Route) -> str:
        """Return the route's path, naming what is theirs."""
        path = route.path
        for template, value in self.ids.items():
            path = path.replace(template, value)
        return path


class Expendables:
    """One person for each route that ends something: their requests would succeed, were they sound."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._people: dict[tuple[str, str], Expendable] = {}

    async def prepare(self) -> None:
        """Make everybody anew."""
        two_sessions = await self._person()
        first = {"{id}": str((await two_sessions.get("/auth/session")).json()["session"]["id"])}
        await sign_in_again(two_sessions)
        enrolling, enrolled = await self._person(), await self._person()
        begun = await _begin(enrolling)
        confirmed = await enrolled.post("/auth/totp/confirm", {"totp": (await _begin(enrolled)).now()})
        assert confirmed.status_code == 200, confirmed.text
        recovery_code = confirmed.json()["recovery_codes"][0]
        self._people = {
            ("POST", "/auth/logout"): Expendable(await self._person()),
            ("GET", "/auth/sessions"): Expendable(await self._person()),
            ("DELETE", "/auth/sessions"): Expendable(await self._person()),
            ("DELETE", "/auth/sessions/{id}"): Expendable(two_sessions, ids=first),
            ("POST", "/auth/change-password"): Expendable(await self._person(), _new_password),
            ("POST", "/auth/totp"): Expendable(await self._person(), lambda: {"password": PASSWORD}),
            ("POST", "/auth/totp/confirm"): Expendable(enrolling, lambda: {"totp": begun.now()}),
            ("POST", "/auth/totp/remove"): Expendable(
                enrolled, lambda: {"password": PASSWORD, "totp": recovery_code}
            ),
        }

    def of(self, route: Route) -> Expendable | None:
        """Return who is there for the route; None if it ends nothing."""
        found = self._people.get((route.method, route.path))
        # What the public may ask for ends nothing without a code that was mailed, or signs in.
        ends = route.path.startswith(_ENDINGS) and route.permission is not Permission.PUBLIC
        assert found or not ends, f"nobody is there for {route.path}"
        return found

    @property
    def user_ids(self) -> list[UUID]:
        """Who they are."""
        return [UUID(one.person.user_id) for one in self._people.values()]

    async def _person(self) -> Person:
        return await self._bank.person("Expendable")


def _new_password() -> dict[str, Any]:
    return {"current_password": PASSWORD, "new_password": _NEW_PASSWORD, "end_other_sessions": True}


async def _begin(person: Person) -> pyotp.TOTP:
    begun = await person.post("/auth/totp", {"password": PASSWORD})
    assert begun.status_code == 201, begun.text
    return pyotp.TOTP(begun.json()["secret"])
