"""The real notifier, in this process or in one of its own, and a server that plays user_api to it."""

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import httpx_sse
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemons.contracts.names import REACHED, REASON_HEADER, SESSION_COOKIE
from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.notifier.app import DAEMON, build
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit
from daemons.notifier.deliveries.owing import Owing
from daemons.notifier.event_log.service import EventLog
from daemons.notifier.event_log.storage import LogEnd
from daemons.notifier.schema import ensure_schema
from daemons.notifier.settings import NotifierSettings
from daemons.notifier.unit_of_work import notifier_work
from daemons.shared.approvals.policy import LIFTED
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.keys import read_public_keys, session_signing_key
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER, ServiceTokenVerifier
from daemons.shared.auth.session_tokens import SessionSigner
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, connect
from tests.support.daemon_keys import PUBLIC_KEYS, secret_settings, secret_variables
from tests.support.waiting import PATIENCE_SECONDS, eventually, patience

SECRET = "a secret of the tests, longer than thirty-two bytes"
NO_BROKER = "127.0.0.1:9"


class PlayedUserApi:
    """Answers `/internal/keys` and `/internal/callers/verify` with real keys, tokens and checks."""

    def __init__(self) -> None:
        self._signer = SessionSigner(session_signing_key(SECRET))
        self._tokens = ServiceTokenVerifier(
            "user_api", {"notifier": read_public_keys(PUBLIC_KEYS["notifier_public_keys"])}
        )
        self._sessions: dict[str, dict[str, Any]] = {}
        self._changed: list[str] = []
        self.people: dict[str, dict[str, str]] = {}
        """Who is known by which id."""
        self.app = web.Application()
        self.app.router.add_get("/internal/keys", self._keys)
        self.app.router.add_post("/internal/callers/verify", self._verify)
        self.app.router.add_get("/internal/users/{id}", self._user)

    def sign_in(self, role: Role) -> tuple[str, str]:
        """Return a new session's id and token."""
        user_id, session_id, now = new_id(), new_id(), utc_now()
        self._sessions[str(session_id)] = {
            "credential_id": str(session_id),
            "key_digest": None,
            "budget": None,
            "user_id": str(user_id),
            "role": role.value,
            "scopes": None,
            "display_name": "Sam",
            "ends_at": format_instant(now + timedelta(hours=12)),
        }
        token = self._signer.sign(
            user_id=user_id, session_id=session_id, issued_at=now, expires_at=now + timedelta(hours=1)
        )
        return str(session_id), token

    def user_of(self, session_id: str) -> str:
        """Return whose session it is."""
        return str(self._sessions[session_id]["user_id"])

    def add(self, user_id: str, *, name: str, email: str) -> None:
        """Know a user."""
        self.people[user_id] = {"id": user_id, "email": email, "display_name": name, "version": 1}

    async def _user(self, request: web.Request) -> web.Response:
        self._tokens.verify(request.headers.get(SERVICE_TOKEN_HEADER))
        found = self.people.get(request.match_info["id"])
        return web.json_response(found or {}, status=200 if found else 404)

    def end(self, session_id: str) -> None:
        self._changed.append(self._sessions.pop(session_id)["user_id"])

    def change_role(self, session_id: str, role: Role) -> None:
        self._sessions[session_id]["role"] = role.value
        self._changed.append(self._sessions[session_id]["user_id"])

    async def _keys(self, request: web.Request) -> web.Response:
        self._tokens.verify(request.headers.get(SERVICE_TOKEN_HEADER))
        return web.json_response({"keys": self._signer.public_keys, "confirmation_keys": []})

    async def _verify(self, request: web.Request) -> web.Response:
        self._tokens.verify(request.headers.get(SERVICE_TOKEN_HEADER))
        asked = await request.json()
        after = asked["after"]
        told = {
            "position": len(self._changed),
            "changed_users": None if after is None else sorted(set(self._changed[after:])),
            "callers": [self._sessions[one] for one in asked["session_ids"] if one in self._sessions],
        }
        return web.json_response(told)


class Notifier:
    """A running notifier, from the outside, with a session of role support."""

    def __init__(
        self, url: str, http: httpx.AsyncClient, users: PlayedUserApi, *, role: Role = Role.SUPPORT
    ) -> None:
        self.url = url
        self.http = http
        self.users = users
        self.session_id, self.token = users.sign_in(role)

    def as_role(self, role: Role) -> "Notifier":
        """The same notifier, for somebody of another role."""
        return Notifier(self.url, self.http, self.users, role=role)

    async def get(
        self, path: str, *, token: str | None = None, why: str | None = None, **params: str | int
    ) -> httpx.Response:
        headers = cookie(self.token if token is None else token)
        if why is not None:
            headers[REASON_HEADER] = quote(why)
        return await self.http.get(f"{self.url}{path}", params=params or None, headers=headers)

    async def post(self, path: str, body: object = None) -> httpx.Response:
        headers = {"X-Requested-With": "tests", **cookie(self.token)}
        return await self.http.post(f"{self.url}{path}", json=body, headers=headers)

    @asynccontextmanager
    async def stream(
        self, *, last_event_id: int | None = None, **params: str | int
    ) -> AsyncIterator[AsyncIterator[httpx_sse.ServerSentEvent]]:
        """Open a stream; yields its events once the server has said where it begins."""
        headers = cookie(self.token)
        if last_event_id is not None:
            headers["Last-Event-ID"] = str(last_event_id)
        async with httpx_sse.aconnect_sse(
            self.http, "GET", f"{self.url}/events", params=params, headers=headers
        ) as source:
            source.response.raise_for_status()
            events = source.aiter_sse()
            await anext(events)
            yield events


def cookie(token: str) -> dict[str, str]:
    """The header, set by hand: the cookie is Secure and this is no TLS."""
    return {"Cookie": f"{SESSION_COOKIE}={token}"} if token else {}


async def take(events: AsyncIterator[httpx_sse.ServerSentEvent], count: int) -> list[int]:
    """Return the positions of the next events."""
    async with patience(f"{count} events"):
        return [int((await next_event(events)).id) for _ in range(count)]


async def next_event(events: AsyncIterator[httpx_sse.ServerSentEvent]) -> httpx_sse.ServerSentEvent:
    """Return the next frame that does not only say how far the reader has come."""
    while (told := await anext(events)).event == REACHED:
        pass
    return told


@pytest_asyncio.fixture
async def notifier_database(mongo_uri: str, database_name: str) -> AsyncIterator[Database]:
    """An empty database with the notifier's schema and the head of its trail, so that it can act at once."""
    client = connect(mongo_uri, daemon="tests")
    database = client[database_name]
    await ensure_schema(database)
    await MongoAuditTrail(database, chain=DAEMON).prepare()
    yield database
    await client.drop_database(database_name)
    await client.close()


@pytest_asyncio.fixture
async def recorder(notifier_database: Database) -> EventRecorder:
    """What records events, as another process of the notifier would."""
    return recorder_on(notifier_database)


def recorder_on(
    database: Database,
    *,
    letters: int = 100,
    on_recorded: Callable[[], None] = lambda: None,
    owing: Sequence[Owing] = (),
) -> EventRecorder:
    """A recorder that sets so many dead letters aside within an hour."""
    end = LogEnd()
    return EventRecorder(
        notifier_work(database, MongoAuditTrail(database, chain=DAEMON), end),
        EventLog(end, on_recorded=on_recorded, owing=owing),
        limit=DeadLetterLimit(letters, timedelta(hours=1)),
    )


@pytest_asyncio.fixture
async def users() -> AsyncIterator[tuple[PlayedUserApi, str]]:
    """The played user_api and its URL."""
    played = PlayedUserApi()
    async with TestServer(played.app) as server:
        yield played, str(server.make_url("/")).rstrip("/")


@pytest_asyncio.fixture
async def notifier(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> AsyncIterator[Notifier]:
    """The notifier in this process, without Kafka: its routes must not need it."""
    async with running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER) as running:
        yield running


@asynccontextmanager
async def running_here(
    mongo_uri: str,
    database: str,
    users: tuple[PlayedUserApi, str],
    *,
    broker: str,
    clock: Clock = utc_now,
    **settings: Any,
) -> AsyncIterator[Notifier]:
    played, users_url = users
    app = build(
        NotifierSettings(
            mongo_uri=mongo_uri,
            mongo_database=database,
            kafka_broker=broker,
            user_api_url=users_url,
            port=1,
            **secret_settings("notifier", SECRET),
            # Most tests are about something else than why staff read.
            **{"staff_policy": LIFTED, **settings},
        ),
        clock=clock,
    )
    async with TestServer(app) as server, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
        yield Notifier(str(server.make_url("/")).rstrip("/"), http, played)


@contextmanager
def notifier_process(
    mongo_uri: str, database: str, users_url: str, *, broker: str, log: Path, **settings: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run a notifier as a process of its own; yields it and its URL at once, whether or not it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PORT": str(port),
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": database,
        **secret_variables("notifier", SECRET),
        "KAFKA_BROKER": broker,
        "USER_API_URL": users_url,
        "STAFF_POLICY": LIFTED,
        **{name.upper(): value for name, value in settings.items()},
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemons.notifier"], env=environment, stdout=output, stderr=output
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def await_ready(http: httpx.AsyncClient, url: str) -> None:
    """Wait until the daemon says that all it needs is there."""

    async def ready() -> bool:
        try:
            return (await http.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(ready)


def ended_status(process: subprocess.Popen[bytes]) -> int:
    """Ask the process to end and return its exit status."""
    process.terminate()
    return process.wait(PATIENCE_SECONDS)
