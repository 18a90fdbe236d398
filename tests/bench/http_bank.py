"""Real daemons as processes over the run's mongod, with people who are signed in and own funded accounts."""

import time
from collections import defaultdict
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from bankctl.local import ports
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.relay import read_positions
from daemons.shared.mongo import Client
from tests.bench.contenders import Run
from tests.bench.costs import Meter
from tests.bench.crowd import sign_in_crowd
from tests.bench.daemon_process import DaemonProcess, running_daemon
from tests.bench.gateway import GATEWAY_HOST, Gateway
from tests.bench.ledger import BenchLedger, create_ledger
from tests.bench.load_plan import LoadPlan, LoadReport, Payer
from tests.bench.load_process import run_load
from tests.bench.samples import Round
from tests.support.daemon_keys import secret_variables
from tests.support.waiting import eventually

PASSWORD = "copper-lantern-42"
PAYERS = 8
NO_BROKER = "127.0.0.1:9"
_SECRET = "a secret of the benchmark, longer than thirty-two bytes"
_COOKIE = "__Host-bankctl"
_SIGN_IN_EVERY_SECONDS = 300


class HttpBank:
    """One user_api, one ledger, and as many daemons over it as rows ask for."""

    def __init__(
        self, name: str, mongo_uri: str, folder: Path, *, kafka_broker: str = NO_BROKER, crowd: int = 0
    ) -> None:
        self._name = name
        self._mongo_uri = mongo_uri
        self._folder = folder
        self.kafka_broker = kafka_broker
        self._stack = AsyncExitStack()
        self._cookies: dict[UUID, str] = {}
        self._crowd: dict[UUID, str] = {}
        self._crowd_size = crowd
        self._signed_in_until = 0.0
        self.emails: dict[UUID, str] = {}
        self.ledger: BenchLedger
        self.user_api: DaemonProcess

    async def start(self, client: Client) -> None:
        """Start user_api, register everybody, and fund their accounts."""
        environment = self._environment("user_api", f"{self._name}_users")
        log = self._log("user_api")
        self.user_api = self._stack.enter_context(running_daemon("daemons.user_api", environment, log=log))
        for number in range(PAYERS):
            email = f"payer-{number}@example.com"
            self.emails[await self._register(email)] = email
        payers = list(self.emails)
        if not self._crowd_size:
            self.ledger = await create_ledger(client, self.database, payers)
            return
        self._crowd = await sign_in_crowd(client[f"{self._name}_users"], self._crowd_size, secret=_SECRET)
        # Half of the accounts belong to the few, so that either side pays from as many.
        owners = [*self._crowd, *(payers[number % PAYERS] for number in range(self._crowd_size))]
        self.ledger = await create_ledger(client, self.database, owners, accounts=len(owners))

    @property
    def tells(self) -> bool:
        """Whether there is a Kafka."""
        return self.kafka_broker != NO_BROKER

    @property
    def database(self) -> str:
        return f"{self._name}_ledger"

    def daemon(self) -> AbstractContextManager[DaemonProcess]:
        """Run one more banking_api over the ledger: the first is the ledger, the others are fronts of it."""
        environment = self._peer_environment("banking_api", self.database)
        return running_daemon("daemons.banking_api", environment, log=self._log("banking_api"))

    def daemon_like(self, module: str) -> AbstractContextManager[DaemonProcess]:
        """Run what answers as banking_api does, over a database of its own, in which nothing is kept."""
        environment = self._peer_environment("banking_api", f"{self.database}_unused")
        return running_daemon(module, environment, log=self._log(module))

    def notifier(self) -> AbstractContextManager[DaemonProcess]:
        """Run a notifier."""
        environment, log = self._peer_environment("notifier", self.notifier_database), self._log("notifier")
        return running_daemon("daemons.notifier", environment, log=log)

    @property
    def notifier_database(self) -> str:
        return f"{self._name}_notifier"

    async def load(
        self,
        *daemons: DaemonProcess,
        connections: int,
        seconds: float,
        gateway: Gateway | None = None,
        hot: bool = False,
        rows_per_request: int = 1,
        requests_per_second: float | None = None,
        counts: bool = True,
        meter: Meter | None = None,
        crowd: bool = False,
    ) -> LoadReport:
        """Have the load generator pay; `counts` is False where nothing is kept.

        With a gateway all of it goes through that, by TLS. With `crowd` each request is of any of the crowd,
        otherwise each connection has a payer of its own.
        """
        await self._sign_in_again()
        cookies = self._crowd if crowd else self._cookies
        accounts: defaultdict[UUID, list[str]] = defaultdict(list)
        for account, owner in self.ledger.owner_of.items():
            accounts[owner].append(account)
        everybody = list(self.ledger.owner_of)
        plan = LoadPlan(
            ports=[daemon.port for daemon in daemons] if gateway is None else [gateway.port],
            host=ports.LOOPBACK if gateway is None else GATEWAY_HOST,
            certificate=None if gateway is None else str(gateway.certificate),
            payers=[Payer(cookie=cookie, accounts=accounts[owner]) for owner, cookie in cookies.items()],
            mixed=crowd,
            receivers=everybody[:1] if hot else everybody,
            connections=connections,
            seconds=seconds,
            rows_per_request=rows_per_request,
            requests_per_second=requests_per_second,
        )
        if meter is not None:
            meter.start()
        report = await run_load(plan)
        if meter is not None:
            meter.stop(report)
        if counts:
            self.ledger.acknowledged += report.acknowledged
        return report

    def paying(self, *daemons: DaemonProcess, connections: int, **how: Any) -> Run:
        """What a contender runs: a load for so many seconds."""

        async def run(seconds: float) -> Round:
            return (await self.load(*daemons, connections=connections, seconds=seconds, **how)).round()

        return run

    async def until_published(self) -> None:
        """Wait until every topic has come to the journal's last seal."""
        await eventually(self._nothing_to_publish)

    async def _nothing_to_publish(self) -> bool:
        head = await Journal(self.ledger.database).head()
        positions = await read_positions(self.ledger.database)
        return bool(positions) and min(positions.values()) == head.number

    async def close(self) -> None:
        await self._stack.aclose()

    async def _register(self, email: str) -> UUID:
        fields = {"email": email, "display_name": "Payer", "password": PASSWORD}
        return UUID((await self._ask_user_api("/users", fields)).json()["id"])

    async def _sign_in_again(self) -> None:
        """Sign everybody in unless they did so lately: an access token lives for minutes only."""
        if time.monotonic() < self._signed_in_until:
            return
        for user, email in self.emails.items():
            answer = await self._ask_user_api("/auth/login", {"email": email, "password": PASSWORD})
            cookies = [header.partition(";")[0] for header in answer.headers.get_list("Set-Cookie")]
            self._cookies[user] = next(cookie for cookie in cookies if cookie.startswith(f"{_COOKIE}="))
        self._signed_in_until = time.monotonic() + _SIGN_IN_EVERY_SECONDS

    async def _ask_user_api(self, path: str, body: dict[str, str]) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.user_api.url, timeout=60, trust_env=False) as http:
            answer = await http.post(path, json=body, headers={"X-Requested-With": "bench"})
        answer.raise_for_status()
        return answer

    def _environment(self, daemon: str, database: str) -> dict[str, str]:
        return {
            "HOST": ports.LOOPBACK,
            "MONGO_URI": self._mongo_uri,
            "MONGO_DATABASE": database,
            # What users' events cost is no part of these figures; a peer has a broker of its own.
            "KAFKA_BROKER": NO_BROKER,
            **secret_variables(daemon, _SECRET),
        }

    def _peer_environment(self, daemon: str, database: str) -> dict[str, str]:
        return {
            **self._environment(daemon, database),
            "KAFKA_BROKER": self.kafka_broker,
            "USER_API_URL": self.user_api.url,
        }

    def _log(self, label: str) -> Path:
        return self._folder / f"{self._name}-{label}.log"
