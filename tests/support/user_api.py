"""The real user_api over a real MongoDB, on a port of its own, and people who use it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
import pymongo
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemons.contracts.names import DEVICE_COOKIE, REFRESH_COOKIE, SESSION_COOKIE
from daemons.contracts.permissions import Role
from daemons.shared.approvals.policy import LIFTED
from daemons.shared.approvals.routes import APPROVALS_KEY
from daemons.shared.audit.record import SHELL
from daemons.shared.audit.routes import AUDIT_KEY
from daemons.shared.clock import Clock, utc_now
from daemons.shared.mongo import Database
from daemons.user_api.app import build
from daemons.user_api.internal.routes import SIGNER_KEY
from daemons.user_api.sessions.routes import REFRESH_KEY
from daemons.user_api.settings import UserApiSettings
from daemons.user_api.users.routes import ADMINISTRATION_KEY, USERS_KEY
from tests.support.bank import CLOSED_PORT
from tests.support.daemon_keys import calls_of, secret_settings

SECRET = "a secret of the tests, longer than thirty-two bytes"
PASSWORD = "nine quiet herons"
# Longer than the daemon looks for a lost database.
_TIMEOUT_SECONDS = 60


@dataclass
class MovableClock:
    """The real time, plus what a test adds to it."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class StandingClock(MovableClock):
    """The time at which it was made, plus what a test adds: pauses do not pass while the machine is slow."""

    made_at: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.made_at + self.ahead


@dataclass
class StillClock(StandingClock):
    """A time that stands in the middle of a step, so that no code grows old before it is used."""

    def __call__(self) -> datetime:
        into_step = timedelta(seconds=self.made_at.timestamp() % 30)
        return self.made_at - into_step + timedelta(seconds=15) + self.ahead


@dataclass(frozen=True)
class Person:
    """A user with a session."""

    api: "UserApi"
    id: str
    email: str
    password: str
    session: str
    """The public name of the session."""
    token: str
    refresh_token: str = ""

    @property
    def session_id(self) -> str:
        """The id of the session, which is in its tokens alone."""
        return str(jwt.decode(self.token, options={"verify_signature": False})["sid"])

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.api.call(method, path, body, token=self.token, **headers)

    async def refreshed(self) -> "Person":
        """Go on with the session."""
        answer = await self.api.refresh(self.refresh_token)
        assert answer.status_code == 200, answer.text
        return replace(self, token=token_in(answer), refresh_token=refresh_token_in(answer))


class UserApi:
    """The running daemon, from the outside; its services are for what only the server's shell can do."""

    def __init__(
        self, http: httpx.AsyncClient, app: web.Application, settings: UserApiSettings, clock: Clock
    ) -> None:
        self.http = http
        self.app = app
        self.clock = clock
        self.users = app[USERS_KEY]
        self.administration = app[ADMINISTRATION_KEY]
        self.approvals = app[APPROVALS_KEY]
        self.audit = app[AUDIT_KEY]
        self.signer = app[SIGNER_KEY]
        self.refresh_tokens = app[REFRESH_KEY]._tokens
        self.database: Database = self.audit.client[settings.mongo_database]
        self.settings = settings
        self.secret = settings.jwt_secret.get_secret_value()
        self.service_tokens = calls_of("banking_api")

    async def call(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """Call as the command line does; the Secure cookie is set by hand, for this is no TLS."""
        sent = {"X-Requested-With": "bankctl"}
        if token is not None:
            sent["Cookie"] = f"{SESSION_COOKIE}={token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, headers=sent)

    async def internal(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call as another daemon does."""
        return await self.http.request(
            method, path, json=body, headers=self.service_tokens.header_for("user_api")
        )

    async def verified(self, *session_ids: str) -> list[dict[str, Any]]:
        """Return what another daemon is told of those of the sessions that live."""
        answer = await self.internal("POST", "/internal/callers/verify", question(*session_ids))
        assert answer.status_code == 200, answer.text
        callers: list[dict[str, Any]] = answer.json()["callers"]
        return callers

    async def register(self, *, display_name: str = "Ann Other", password: str = PASSWORD) -> dict[str, Any]:
        """Register somebody new; returns the user as everybody else is shown them."""
        fields = {"email": new_email(), "display_name": display_name, "password": password}
        answer = await self.call("POST", "/users", fields)
        assert answer.status_code == 201, answer.text
        user: dict[str, Any] = answer.json()
        del user["confirmation_required"]
        return user

    async def sign_in(self, email: str, password: str = PASSWORD) -> Person:
        """Begin a session."""
        answer = await self.call("POST", "/auth/login", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        user, session = answer.json()["user"], answer.json()["session"]
        token = token_in(answer)
        return Person(self, user["id"], email, password, session["id"], token, refresh_token_in(answer))

    async def refresh(self, refresh_token: str, **headers: str) -> httpx.Response:
        """Offer a refresh token."""
        return await self.call("POST", "/auth/refresh", Cookie=f"{REFRESH_COOKIE}={refresh_token}", **headers)

    async def person(self, role: Role = Role.USER) -> Person:
        """Register somebody, give them the role by the shell's way, and sign them in."""
        user = await self.register()
        if role is not Role.USER:
            await self.administration.change_role(UUID(user["id"]), role, actor=SHELL, reason="test")
        return await self.sign_in(user["email"])

    def stored(self, *names: str) -> dict[str, list[dict[str, Any]]]:
        """Return what the daemon keeps, users and sessions unless named, to see that nothing has changed."""
        with pymongo.MongoClient[dict[str, Any]](
            self.settings.mongo_uri, uuidRepresentation="standard"
        ) as client:
            database = client[self.settings.mongo_database]
            return {name: list(database[name].find().sort("_id")) for name in names or ("users", "sessions")}


def question(*session_ids: str) -> dict[str, Any]:
    """What a daemon asks that has just started."""
    return {"after": None, "session_ids": list(session_ids), "key_digests": []}


def new_email() -> str:
    """Return an address that nobody has."""
    return f"person-{uuid.uuid4().hex}@example.com"


def token_in(answer: httpx.Response) -> str:
    """Return the session token that an answer sets as a cookie."""
    return _cookie(answer, SESSION_COOKIE)


def refresh_token_in(answer: httpx.Response) -> str:
    """Return the refresh token that an answer sets as a cookie."""
    return _cookie(answer, REFRESH_COOKIE)


def device_token_in(answer: httpx.Response) -> str:
    """Return the token that an answer sets as a cookie for the device to keep."""
    return _cookie(answer, DEVICE_COOKIE)


def _cookie(answer: httpx.Response, wanted: str) -> str:
    for header in answer.headers.get_list("Set-Cookie"):
        name, _, rest = header.partition("=")
        if name == wanted:
            return str(rest.partition(";")[0])
    raise AssertionError(f"{wanted} is not set: {answer.text}")


@asynccontextmanager
async def running_user_api(
    mongo_uri: str,
    database_name: str,
    *,
    clock: MovableClock | None = None,
    secret: str = SECRET,
    **settings: Any,
) -> AsyncIterator[UserApi]:
    """Run the daemon in this process."""
    # Staff of most tests sign in by password alone, and act alone. Many register, from one address.
    settings = {
        "totp_required_roles": "",
        "staff_policy": LIFTED,
        "address_free_sign_ups": 100_000,
        "kafka_broker": CLOSED_PORT,
        **secret_settings("user_api", secret),
        **settings,
    }
    given = UserApiSettings(mongo_uri=mongo_uri, mongo_database=database_name, port=1, **settings)
    clock = clock or MovableClock()
    app = build(given, clock=clock)
    async with TestServer(app) as server:
        base_url = str(server.make_url("/"))
        async with httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT_SECONDS) as http:
            yield UserApi(http, app, given, clock)
