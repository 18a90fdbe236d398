"""A bank of all three daemons with some history, whose databases a test changes by hand and puts back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyotp

import daemons.banking_api.books.routes as book_routes
import daemons.banking_api.transactions.routes as transaction_routes
from bankctl.client.audit import Audit
from bankctl.client.checkpoints import Checkpoints
from bankctl.client.events import Events
from bankctl.client.http import Answer
from bankctl.client.transactions import Transactions
from bankctl.config import Profile
from bankctl.heads import load_held, save_held
from bankctl.proof import Proof, prove_bank
from daemons.banking_api.books.events import EventEncoder
from daemons.banking_api.ledger.documents import record_from
from daemons.contracts.names import FORGERY_HEADER
from daemons.shared.audit.record import SHELL
from daemons.shared.mongo import Database, Document
from daemons.user_api.users.routes import ADMINISTRATION_KEY
from tests.support.bank import PASSWORD, Person
from tests.support.events import consumed
from tests.support.notifier import recorder_on
from tests.support.whole_bank import WholeBank, running_whole_bank

LEDGER, USERS, EVENTS = "ledger", "users", "events"
_GUARDED = {
    LEDGER: ("journal", "accounts", "positions", "checkpoints", "approvals", "audit", "audit_head"),
    USERS: ("users", "api_keys", "second_factors", "approvals", "audit", "audit_head"),
    EVENTS: ("events", "notifications", "audit", "audit_head"),
}
_DAEMONS = {
    "/ledger": "banking_api",
    "/events": "notifier",
    "/audit/ledger": "banking_api",
    "/audit/users": "user_api",
    "/audit/events": "notifier",
}
"""Which daemon answers, by what a path begins with."""


@dataclass(frozen=True)
class TamperedBank:
    """What a tampering is done to, and what of it findings must name."""

    databases: Mapping[str, Database]
    prove: Callable[[bool], Proof]
    names: dict[str, Any]
    """Ids of records, users and requests, and numbers of accounts, by what they are in the tests."""

    lock: Callable[[str], Awaitable[object]]
    """Locks a user as the server's own shell would."""

    profile: Profile

    pay: Callable[[], Awaitable[str]]
    """Makes another payment, tells the notifier of it and returns its id."""

    async def proof(self, *, keep: bool = False, full: bool = True) -> Proof:
        """Prove as `bankctl admin prove` does, which waits for no event here.

        What it signs is put back as well, so it is kept on this machine only if that is asked for.
        """
        held = load_held(self.profile)
        proof = await asyncio.to_thread(self.prove, full)
        if not keep:
            save_held(self.profile, held)
        return proof

    async def stored(self) -> dict[tuple[str, str], list[Document]]:
        """Return all that a test may change."""
        return {
            (name, collection): await self.databases[name][collection].find().to_list()
            for name, collections in _GUARDED.items()
            for collection in collections
        }

    async def put_back(self, stored: Mapping[tuple[str, str], list[Document]]) -> None:
        """Undo what a test has changed."""
        now = await self.stored()
        for (name, collection), documents in stored.items():
            if documents != now[name, collection]:
                await self.databases[name][collection].delete_many({})
                if documents:
                    await self.databases[name][collection].insert_many(documents)


@asynccontextmanager
async def tampered_bank(mongo_uri: str) -> AsyncIterator[TamperedBank]:
    """Run the daemons, let people use them, and tell the notifier of it."""
    async with running_whole_bank(mongo_uri) as whole:
        databases = {LEDGER: whole.ledger, USERS: whole.bank.users, EVENTS: whole.events}
        names, operator, bob = await _use(whole)
        await _tell(whole)

        async def pay() -> str:
            answer = await bob.transfer(names["other"], names["account"], "0.50")
            assert answer.status_code == 201, answer.text
            await _tell(whole)
            return str(answer.json()["id"])

        with httpx.Client(
            headers={"Cookie": operator.headers["Cookie"], FORGERY_HEADER: "tests"}, timeout=30
        ) as http:
            client = _Client(http, whole.origins)
            yield TamperedBank(
                databases,
                # All that a proof asks of the client.
                lambda full: prove_bank(client, wait_seconds=0, on_progress=_ignore, full=full),  # type: ignore[arg-type]
                names,
                lambda user: whole.bank.users_app[ADMINISTRATION_KEY].lock(
                    UUID(names[user]), actor=SHELL, reason="for a test"
                ),
                client.profile,
                pay,
            )


async def _use(whole: WholeBank) -> tuple[dict[str, Any], Person, Person]:
    bank = whole.bank
    alice, bob = await bank.person(), await bank.person("Bob")
    olga, omar = await bank.person("Olga", "operator"), await bank.person("Omar", "operator")
    account, other, unused = await alice.open_account(), await bob.open_account(), await bob.open_account()
    names: dict[str, Any] = {"alice": alice.user_id, "bob": bob.user_id, "olga": olga.user_id}
    names |= {"account": account, "other": other, "unused": unused}

    async def done(answer: httpx.Response) -> dict[str, Any]:
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    names["funding"] = (await done(await olga.fund(account, "100.00")))["id"]
    names["transfer"] = (await done(await alice.transfer(account, other, "3.00")))["id"]
    await alice.transfer(account, other, "999.00")
    [failed] = await whole.ledger["journal"].find({"status": "failed"}).to_list()
    names["refused"] = str(failed["_id"])
    await done(await olga.patch(f"/accounts/{unused}/freeze", {"reason": "stolen"}))
    [frozen] = await whole.ledger["journal"].find({"kind": "freeze"}).to_list()
    names["freeze"] = str(frozen["_id"])
    body = {"direction": "debit", "amount": "4.00", "currency": "EUR", "reason": "booked twice"}
    for name, step, why in (("approved", "approve", None), ("rejected", "reject", {"reason": "no"})):
        asked = await olga.post(f"/accounts/{account}/adjust", body, key=str(uuid4()))
        names[name] = (await done(asked))["id"]
        await done(await omar.call("POST", f"/approvals/ledger/{names[name]}/{step}", why))
    names["pending"] = (await done(await olga.post(f"/accounts/{account}/adjust", body, key="k")))["id"]
    key = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
    await done(await alice.post("/auth/tokens", key))
    [made] = await bank.users["api_keys"].find().to_list()
    names["api_key"] = str(made["_id"])
    begun = await done(await bob.post("/auth/totp", {"password": PASSWORD}))
    await done(await bob.post("/auth/totp/confirm", {"totp": pyotp.TOTP(begun["secret"]).now()}))
    # The notifier's trail has records of who was refused what.
    for person in (alice, bob, omar):
        path = f"{whole.origins['notifier']}/dead-letters"
        await bank.http.get(path, headers=person.headers)
    names["newest"] = (await done(await alice.transfer(account, other, "1.00")))["id"]
    return names, olga, bob


async def _tell(whole: WholeBank) -> None:
    """Bring the events to the notifier; only Kafka itself is left out."""
    app = whole.bank.app
    encoder = EventEncoder(app[transaction_routes.DIRECTORY_KEY], bank_id=app[book_routes.BANK_ID_KEY])
    stored = whole.ledger["journal"].find({"_id": {"$gte": UUID(int=0)}}).sort("_id")
    told = await encoder.encode([record_from(document) async for document in stored])
    await recorder_on(whole.events).record_events([consumed(record) for record in told])


def _ignore(_phase: str, _done: int, _total: int) -> None:
    pass


class _Gateway:
    """What the command line's resources ask, sent to the daemon that would get it from the gateway."""

    def __init__(self, http: httpx.Client, origins: Mapping[str, str]) -> None:
        self._http = http
        self._origins = origins

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: object = None,
    ) -> Answer:
        """Ask once."""
        answer = self._http.request(method, self._url(path), params=_present(params), json=body)
        assert answer.is_success, answer.text
        return Answer(answer.status_code, answer.json(), answer.headers)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        idle_seconds: float,
        body: object = None,
    ) -> Iterator[httpx.Response]:
        """Ask for an answer in pieces."""
        method = "GET" if body is None else "POST"
        with self._http.stream(
            method,
            self._url(path),
            params=_present(params),
            headers=dict(headers),
            json=body,
            timeout=idle_seconds,
        ) as answer:
            assert answer.status_code == 200
            yield answer

    def _url(self, path: str) -> str:
        daemon = next(daemon for prefix, daemon in _DAEMONS.items() if path.startswith(prefix))
        return self._origins[daemon] + path


def _present(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


class _Client:
    """As much of the command line's client as a proof uses, without a gateway."""

    def __init__(self, http: httpx.Client, origins: Mapping[str, str]) -> None:
        line: Any = _Gateway(http, origins)
        self.profile = Profile(f"tampered-{uuid4().hex[:8]}", "https://localhost")
        self.transactions = Transactions(line)
        self.checkpoints = Checkpoints(line)
        self.events = Events(line)
        self.audit = Audit(line)
