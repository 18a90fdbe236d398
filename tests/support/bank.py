"""The real user_api and banking_api in this process, over the run's own mongod.

Most tests leave Kafka out on purpose: transfers must not need it, and what they tell waits in the outbox.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher

from daemons.banking_api import app as banking_app
from daemons.banking_api.settings import BankingSettings
from daemons.contracts.permissions import Role
from daemons.shared.approvals.policy import LIFTED
from daemons.shared.audit.record import SHELL
from daemons.shared.mongo import Client, Database, connect
from daemons.user_api import app as user_app
from daemons.user_api.settings import UserApiSettings
from daemons.user_api.users.routes import ADMINISTRATION_KEY, USERS_KEY
from tests.support.daemon_keys import secret_settings

CLOSED_PORT = "127.0.0.1:9"
PASSWORD = "copper-lantern-42"
COOKIE = "__Host-bankctl"


@dataclass
class Person:
    """Somebody with a session, talking to both daemons as the gateway would route it."""

    user_id: str
    display_name: str
    email: str
    http: httpx.AsyncClient
    user_api: str
    banking_api: str
    headers: dict[str, str] = field(default_factory=dict)

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        origin = (
            self.user_api
            if path.startswith(("/users", "/auth", "/audit/users", "/accesses/users", "/approvals/users"))
            else self.banking_api
        )
        sent = {"X-Requested-With": "tests", **self.headers, **headers}
        if key is not None:
            sent["Idempotency-Key"] = key
        return await self.http.request(method, origin + path, json=body, headers=sent)

    async def get(self, path: str) -> httpx.Response:
        return await self.call("GET", path)

    async def post(self, path: str, body: object, *, key: str | None = None) -> httpx.Response:
        return await self.call("POST", path, body, key=key)

    async def patch(self, path: str, body: object) -> httpx.Response:
        return await self.call("PATCH", path, body)

    async def open_account(self, currency: str = "EUR", type_: str = "checking") -> str:
        answer = await self.post("/accounts", {"type": type_, "currency": currency})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def balance(self, account: str) -> str:
        answer = await self.get(f"/accounts/{account}/balance")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["balance"]["amount"])

    async def transfer(
        self, sender: str, receiver: str, amount: str, *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {
            "from_account": sender,
            "to_account": receiver,
            "amount": amount,
            "currency": "EUR",
            **more,
        }
        return await self.post("/transactions/transfer", body, key=key or str(uuid4()))

    async def fund(self, account: str, amount: str, *, key: str | None = None) -> httpx.Response:
        body = {"amount": amount, "currency": "EUR"}
        return await self.post(f"/accounts/{account}/fund", body, key=key or str(uuid4()))


@dataclass
class Bank:
    """Both daemons and their databases."""

    http: httpx.AsyncClient
    user_api: str
    banking_api: str
    users: Database
    ledger: Database
    client: Client
    suffix: str
    app: web.Application
    """banking_api's."""
    users_app: web.Application

    async def person(self, name: str = "Alice", role: str = "user") -> Person:
        """Register somebody, give them the role as the server's shell would, and sign them in."""
        email = f"{name.lower()}-{uuid4().hex[:12]}@example.com"
        forgery = {"X-Requested-With": "tests"}
        body = {"email": email, "display_name": name, "password": PASSWORD}
        registered = await self.http.post(f"{self.user_api}/users", json=body, headers=forgery)
        assert registered.status_code == 201, registered.text
        if role != Role.USER:
            await self.users_app[ADMINISTRATION_KEY].change_role(
                UUID(registered.json()["id"]), Role(role), actor=SHELL, reason="for a test"
            )
        credentials = {"email": email, "password": PASSWORD}
        login = await self.http.post(f"{self.user_api}/auth/login", json=credentials, headers=forgery)
        assert login.status_code == 200, login.text
        token = login.headers["set-cookie"].partition("=")[2].partition(";")[0]
        person = Person(registered.json()["id"], name, email, self.http, self.user_api, self.banking_api)
        person.headers["Cookie"] = f"{COOKIE}={token}"
        return person

    def nobody(self) -> Person:
        """Somebody without a session."""
        return Person("", "", "", self.http, self.user_api, self.banking_api)


async def people(bank: Bank, funds: str = "100.00") -> tuple[Person, Person, Person, str, str]:
    """Alice with funds on her account, Bob with an empty one, and an operator."""
    alice, bob = await bank.person(), await bank.person("Bob")
    operator = await bank.person("Olga", "operator")
    sender, receiver = await alice.open_account(), await bob.open_account()
    assert (await operator.fund(sender, funds)).status_code == 201
    return alice, bob, operator, sender, receiver


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """Both daemons without Kafka, started once for the run; tests make their own people and accounts."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def telling_bank(mongo_uri: str, kafka_broker: str) -> AsyncIterator[Bank]:
    """Both daemons with a real Kafka."""
    async with running_bank(mongo_uri, kafka_broker=kafka_broker) as running:
        yield running


@asynccontextmanager
async def running_bank(
    mongo_uri: str,
    *,
    kafka_broker: str,
    suffix: str = "",
    banking: Mapping[str, Any] | None = None,
    users: Mapping[str, Any] | None = None,
) -> AsyncIterator[Bank]:
    """Run both daemons on databases of their own, or on those of an earlier run with the same suffix."""
    suffix = suffix or uuid4().hex[:8]
    # Most tests are about something else than who else has to agree.
    common: dict[str, Any] = {"mongo_uri": mongo_uri, "port": 1, "staff_policy": LIFTED}
    secrets: dict[str, Any] = secret_settings("user_api", secret_of(suffix))
    peer: dict[str, Any] = secret_settings("banking_api", "")
    async with AsyncExitStack() as stack:
        user_settings = UserApiSettings(
            kafka_broker=kafka_broker,
            # Many register in a file of tests, from one address.
            **{
                "mongo_database": f"users_{suffix}",
                **common,
                **secrets,
                "totp_required_roles": "",
                "address_free_sign_ups": 100_000,
                **(users or {}),
            },
        )
        users_app = user_app.build(user_settings)
        # What a hash costs is tried over user_api by itself (tests/service/user_api).
        users_app[USERS_KEY]._hasher._argon2 = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        user_api = await _serve(stack, users_app)
        settings = BankingSettings(
            kafka_broker=kafka_broker,
            user_api_url=user_api,
            **{"mongo_database": f"ledger_{suffix}", **common, **peer, **(banking or {})},
        )
        app = banking_app.build(settings)
        banking_api = await _serve(stack, app)
        client = await stack.enter_async_context(connect(mongo_uri, daemon="tests"))
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False, timeout=30))
        yield Bank(
            http=http,
            user_api=user_api,
            banking_api=banking_api,
            users=client[f"users_{suffix}"],
            ledger=client[f"ledger_{suffix}"],
            client=client,
            suffix=suffix,
            app=app,
            users_app=users_app,
        )


def secret_of(suffix: str) -> str:
    """Return the secret of user_api in one run."""
    return f"a secret of the tests, long enough, {suffix}"


@pytest.fixture
def key() -> str:
    """An idempotency key."""
    return str(uuid4())


async def _serve(stack: AsyncExitStack, app: Any) -> str:
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    stack.push_async_callback(server.close)
    return f"http://127.0.0.1:{server.port}"
