"""A whole bank of real processes, any of which may be killed, and people who use it over HTTP."""

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import aiohttp
from confluent_kafka import KafkaError, Message, Producer

from bankctl.local import ports
from daemons.contracts.names import EventType
from daemons.shared.mongo import application_name
from tests.faults.kafka_server import KafkaServer
from tests.faults.mongo_server import MongoServer
from tests.faults.planting import chosen_bug
from tests.faults.processes import ServerProcess
from tests.support.daemon_keys import secret_variables
from tests.support.waiting import PATIENCE_SECONDS, patience

PASSWORD = "copper-lantern-42"
COOKIE = "__Host-bankctl"
NO_BROKER = "127.0.0.1:9"
_LIBRARY_LOG = logging.getLogger("kafka")


Place = tuple[str, int, int]
"""Where a record stands: topic, partition, offset."""


@dataclass
class Reply:
    """An answer with its body read."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Person:
    """Somebody with a session. `at` is the address of the banking_api they use."""

    bank: "FaultBank"
    email: str
    user_id: str
    at: str
    cookie: str = ""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        timeout_seconds: float = 20.0,
        at: str | None = None,
    ) -> Reply:
        """Send a request; who is no longer signed in signs in again."""
        sent: dict[str, Any] = {"body": body, "key": key, "timeout_seconds": timeout_seconds, "at": at}
        answer = await self._send(method, path, **sent)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            await self.sign_in()
            answer = await self._send(method, path, **sent)
        return answer

    async def _send(
        self, method: str, path: str, *, body: object, key: str | None, timeout_seconds: float, at: str | None
    ) -> Reply:
        headers = {"X-Requested-With": "tests", "Cookie": f"{COOKIE}={self.cookie}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self.bank.http.request(
                method, (at or self.at) + path, json=body, headers=headers, timeout=timeout
            ) as response:
                text = await response.text()
        except TimeoutError as error:
            raise TimeoutError(f"{method} {path} was not answered within {timeout_seconds:g} s") from error
        parsed = json.loads(text) if text.startswith(("{", "[")) else text
        return Reply(response.status, parsed, dict(response.headers))

    async def sign_in(self) -> None:
        """Begin a session; the old one need not have ended."""
        credentials = {"email": self.email, "password": PASSWORD}
        headers = {"X-Requested-With": "tests"}
        url = f"{self.bank.user_api}/auth/login"
        async with self.bank.http.post(url, json=credentials, headers=headers) as response:
            if response.status != 200:
                raise ConnectionError(await response.text())
            self.cookie = response.headers["Set-Cookie"].partition("=")[2].partition(";")[0]

    async def open_account(self) -> str:
        answer = await self.call("POST", "/accounts", {"type": "checking", "currency": "EUR"})
        assert answer.status == 201, answer
        return str(answer.body["id"])

    async def balance_minor(self, account: str) -> int:
        answer = await self.call("GET", f"/accounts/{account}/balance")
        assert answer.status == 200, answer
        return int(answer.body["balance"]["amount"].replace(".", ""))

    async def pages(self, path: str, *, at: str | None = None, **query: str) -> list[dict[str, Any]]:
        """Return all items of a list."""
        items: list[dict[str, Any]] = []
        asked = {"limit": "200", **query}
        while True:
            parameters = "&".join(f"{name}={value}" for name, value in asked.items())
            answer = await self.call("GET", f"{path}?{parameters}", at=at)
            assert answer.status == 200, answer
            items += answer.body["items"]
            if answer.body["next_cursor"] is None:
                return items
            asked["cursor"] = answer.body["next_cursor"]


class FaultBank:
    """The processes of one bank. `crash_control`: see tests.faults.daemon."""

    def __init__(self, folder: Path, mongo_uri: str, broker: str) -> None:
        self.folder = folder
        self.mongo_uri = mongo_uri
        self.broker = broker
        self.daemons: dict[str, ServerProcess] = {}
        self.urls: dict[str, str] = {}
        self.operator: Person
        self.poisoned: list[Place] = []
        self.http: aiohttp.ClientSession
        self._secret = f"a secret of the tests, long enough, {uuid4().hex}"
        self._suffix = uuid4().hex[:6]
        self._free_ports: dict[str, int] = {}

    @property
    def user_api(self) -> str:
        return self.urls["user_api"]

    @property
    def banking_api(self) -> str:
        return self.urls["banking_api"]

    def application(self, kind: str) -> str:
        """Return by what name the database knows the daemons of a kind."""
        return application_name(kind, self.database(kind))

    def database(self, kind: str) -> str:
        """Return the database of the daemons of a kind."""
        return f"{kind}_{self._suffix}"

    def add_daemon(
        self,
        kind: str,
        *,
        name: str = "",
        mongo_uri: str = "",
        broker: str = "",
        under_crash_points: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> ServerProcess:
        """Start a daemon as its own process; several of a kind share their database and consumer group."""
        name = name or kind
        # Kept ports: a daemon that is started again must be found where it was.
        port = self._free_ports.setdefault(name, ports.pick(1, taken=self._free_ports.values())[0])
        variables = {
            "PORT": str(port),
            "MONGO_URI": mongo_uri or self.mongo_uri,
            "MONGO_DATABASE": self.database(kind),
            **secret_variables(kind, self._secret),
            "KAFKA_BROKER": broker or self.broker,
            "ACCESS_TOKEN_MINUTES": "15",
            # The operator here is a program.
            "TOTP_REQUIRED_ROLES": "",
            "STAFF_POLICY": "none",
            # All the tests' people come from one address.
            "ADDRESS_FREE_SIGN_UPS": "100000",
            **environment,
        }
        if kind != "user_api":
            variables["USER_API_URL"] = self.user_api
        command = [sys.executable, "-m", f"daemons.{kind}"]
        if under_crash_points:
            command = [sys.executable, "-m", "tests.faults.daemon", kind, str(self.crash_control(name))]
        elif chosen_bug():
            command = [sys.executable, "-m", "tests.faults.daemon", kind]
        daemon = ServerProcess(name, command, self.folder / f"{name}.log", variables)
        self.daemons[name] = daemon
        self.urls[name] = f"http://127.0.0.1:{port}"
        daemon.start()
        return daemon

    def crash_control(self, name: str) -> Path:
        """The file through which a daemon is told where to crash."""
        return self.folder / f"{name}.crash"

    def child_pid(self, name: str) -> int:
        """The process that serves now, of a daemon that has crash points."""
        return int(self.crash_control(name).with_suffix(".crash.pid").read_text())

    async def until_ready(self, *names: str) -> None:
        """Wait until the daemons (or all) say that what they need is there."""
        for name in names or list(self.daemons):
            async with patience(f"{name} to be ready", found=self.daemons[name].log_tail):
                while not await self.is_ready(name):
                    assert self.daemons[name].alive, self.daemons[name].log_tail()
                    await asyncio.sleep(0.05)

    async def is_ready(self, name: str) -> bool:
        """Whether the daemon says that what it needs is there."""
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with self.http.get(f"{self.urls[name]}/readyz", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def heal(self) -> None:
        """Start every daemon that does not run, and wait until all are ready."""
        for daemon in self.daemons.values():
            if not daemon.alive:
                daemon.start()
        await self.until_ready()

    async def stop(self) -> None:
        """Stop every daemon; `heal` starts them again."""
        await asyncio.gather(*(daemon.stop() for daemon in self.daemons.values()))

    async def remove_daemon(self, name: str) -> None:
        await self.daemons.pop(name).stop()
        del self.urls[name]

    async def register(self, name: str) -> Person:
        """A new user with a session."""
        email = f"{name}-{uuid4().hex[:12]}@example.com"
        body = {"email": email, "display_name": name.title(), "password": PASSWORD}
        headers = {"X-Requested-With": "tests"}
        async with self.http.post(f"{self.user_api}/users", json=body, headers=headers) as response:
            assert response.status == 201, await response.text()
            user = await response.json()
        person = Person(self, email, user["id"], self.banking_api)
        await person.sign_in()
        return person

    async def appoint(self, name: str, role: str) -> Person:
        """A new member of the staff, made in the server's own shell."""
        email = f"{name}-{uuid4().hex[:12]}@example.com"
        command = [sys.executable, "-m", "daemons.user_api", "create-user"]
        command += ["--email", email, "--display-name", name.title(), "--role", role]
        environment = {
            **os.environ,
            "MONGO_URI": self.mongo_uri,
            "MONGO_DATABASE": self.database("user_api"),
        }
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            input=f"{PASSWORD}\n",
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        person = Person(self, email, json.loads(done.stdout)["id"], self.banking_api)
        await person.sign_in()
        return person

    async def fund(self, account: str, minor: int) -> None:
        body = {"amount": f"{minor // 100}.{minor % 100:02d}", "currency": "EUR"}
        answer = await self.operator.call("POST", f"/accounts/{account}/fund", body, key=str(uuid4()))
        assert answer.status == 201, answer

    async def poison(self, count: int) -> None:
        """Publish records that nobody can read, among the events; each must become one dead letter."""
        self.poisoned += await asyncio.to_thread(_publish_poison, self.broker, count)

    async def dead_letters(self, notifier: str = "notifier") -> list[Place]:
        """Return where the records stand that the notifier has set aside."""
        letters = await self.operator.pages("/dead-letters", at=self.urls[notifier])
        return [(letter["topic"], letter["partition"], letter["offset"]) for letter in letters]

    async def ledger_proof(self) -> dict[str, Any]:
        return dict((await self._proof("/ledger/proof", self.banking_api)).body)

    async def event_proof(self, notifier: str = "notifier") -> dict[str, Any]:
        return dict((await self._proof("/events/proof", self.urls[notifier])).body)

    async def _proof(self, path: str, at: str) -> Reply:
        answer = await self.operator.call("GET", path, at=at)
        if answer.status != 200:
            raise ConnectionError(f"{path}: {answer.status} {answer.body}")
        return answer


def _publish_poison(broker: str, count: int) -> list[Place]:
    places: list[Place] = []

    def note(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        places.append((str(message.topic()), int(message.partition()), int(message.offset())))

    producer = Producer({"bootstrap.servers": broker, "enable.idempotence": True}, logger=_LIBRARY_LOG)
    for number in range(count):
        producer.produce(EventType.TRANSACTION_COMPLETED.value, b"poison %d" % number, on_delivery=note)
    producer.flush(PATIENCE_SECONDS)
    assert len(places) == count, f"{len(places)} of {count} poisoned records were taken"
    return places


@asynccontextmanager
async def running_bank(
    folder: Path, mongo_uri: str, broker: str, *, notifier: bool = True
) -> AsyncIterator[FaultBank]:
    """Run one process of each daemon; the operator is there."""
    bank = FaultBank(folder, mongo_uri, broker)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        bank.http = http
        try:
            bank.add_daemon("user_api")
            bank.add_daemon("banking_api")
            if notifier:
                bank.add_daemon("notifier")
            await bank.until_ready("user_api", "banking_api")
            bank.operator = await bank.appoint("olga", "operator")
            yield bank
        finally:
            await bank.stop()


@asynccontextmanager
async def another(bank: FaultBank, kind: str, *, mongo_uri: str = "") -> AsyncIterator[str]:
    """A second process of a daemon; yields its address."""
    name = f"{kind}2"
    bank.add_daemon(kind, name=name, mongo_uri=mongo_uri)
    await bank.until_ready(name)
    try:
        yield bank.urls[name]
    finally:
        await bank.remove_daemon(name)


@asynccontextmanager
async def running_servers(folder: Path) -> AsyncIterator[tuple[MongoServer, KafkaServer]]:
    """Run a MongoDB and a Kafka of one's own."""
    mongo = MongoServer(folder / "mongo" / "data", ports.pick(1)[0])
    kafka = KafkaServer(folder / "kafka")
    try:
        mongo.start()
        await asyncio.to_thread(kafka.format)
        kafka.start()
        await mongo.initiate()
        await kafka.until_it_serves()
        yield mongo, kafka
    finally:
        await asyncio.gather(mongo.stop(), kafka.stop())
