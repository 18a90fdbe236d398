"""Every kind of caller, and what each route of each daemon answers them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from daemons.contracts.names import SESSION_COOKIE
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.keys import session_signing_key
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER
from daemons.shared.auth.session_tokens import AUDIENCE, ISSUER, SessionSigner
from daemons.shared.clock import utc_now
from daemons.shared.http.routes import ROUTES_KEY, Route
from tests.support.api_reference import applications
from tests.support.bank import PASSWORD, Bank, Person
from tests.support.daemon_keys import calls_of
from tests.support.may_call import verdict
from tests.support.user_api import question
from tests.support.whole_bank import WholeBank

Headers = Mapping[str, str]
_TYPE = "session+jwt"
_NOTHING = str(uuid4())
_NO_ADDRESS = "no address"
"""What every kind of caller guesses at would be held back, sooner or later."""
_ENDS_SESSIONS = ("/auth/logout", "/auth/sessions", "/auth/change-password")
KEY_SCOPE = Permission.USE_OWN_ACCOUNTS


@dataclass(frozen=True)
class Kind:
    """A kind of caller: `role` for those with a living session, None for those nobody should believe."""

    name: str
    role: Role | None = None
    service: bool = False
    key: bool = False

    def expected(self, route: Route) -> str:
        """Return what the written list says: `in`, `401` or `403`."""
        role = None if self.role is None else self.role.value
        return verdict(f"{route.method} {route.path}", role, service=self.service, key=self.key)


KINDS = [
    Kind("owner", Role.USER),
    Kind("other user", Role.USER),
    Kind("support", Role.SUPPORT),
    Kind("operator", Role.OPERATOR),
    Kind("admin", Role.ADMIN),
    Kind("operator's key", Role.OPERATOR, key=True),
    Kind("daemon", service=True),
    Kind("nobody"),
    Kind("expired"),
    Kind("ended"),
    Kind("locked"),
    Kind("other audience"),
    Kind("HS256, public key"),
    Kind("alg none"),
    Kind("other key"),
    Kind("service as cookie"),
    Kind("session as service"),
]


class Callers:
    """The people and tokens behind each kind, with an account of the owner's and one of the other's."""

    def __init__(self, whole: WholeBank) -> None:
        self.whole = whole
        self._people: dict[str, Person] = {}
        self._headers: dict[str, Headers] = {}
        self._paths: dict[str, str] = {}
        self._bodies: dict[tuple[str, str], dict[str, Any]] = {}

    async def prepare(self) -> None:
        """Make everybody and everything that the routes name."""
        bank = self.whole.bank
        # Nobody may register under a name of the staff's.
        for name, kind in zip(("Ann", "Bob", "Sam", "Olga", "Ada"), KINDS[:5], strict=True):
            self._people[kind.name] = await bank.person(name, str(kind.role))
        owner, operator = self._people["owner"], self._people["operator"]
        account, second = await owner.open_account(), await owner.open_account()
        funded = (await operator.fund(account, "1000.00")).json()
        victim = await bank.person("Victim")
        self._paths = {
            "/accounts/{id}": f"/accounts/{account}",
            "/transactions/{id}": f"/transactions/{funded['id']}",
            "/users/{id}": f"/users/{victim.user_id}",
            "{seq}": "1",
            "{id}": _NOTHING,
        }
        self._bodies = _bodies(account, second, victim)
        await self._make_tokens(bank)

    async def _make_tokens(self, bank: Bank) -> None:
        ended, locked = await bank.person("Ended", "admin"), await bank.person("Locked", "admin")
        await ended.post("/auth/logout", None)
        await self._people["admin"].patch(f"/users/{locked.user_id}/lock", {"reason": "lost phone"})
        # The token that each kind spoils is an admin's own, so that one thing alone is wrong with it.
        spoiled = (await bank.person("Spoiled", "admin")).headers["Cookie"].partition("=")[2]
        claims = jwt.decode(spoiled, options={"verify_signature": False})
        assert claims["iss"] == ISSUER
        key = session_signing_key(self.whole.secret)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        kid = SessionSigner(key).key_id

        def signed(secret: Any, algorithm: str | None, **changed: Any) -> Headers:
            headers = {"typ": _TYPE, "kid": kid}
            return _cookie(jwt.encode({**claims, **changed}, secret, algorithm=algorithm, headers=headers))

        daemon = {name: calls_of("banking_api").header_for(name) for name in AUDIENCE}
        service = daemon["user_api"][SERVICE_TOKEN_HEADER].removeprefix("Bearer ")
        past = utc_now() - timedelta(seconds=30)
        self._headers = {
            "nobody": {},
            "daemon": daemon["user_api"],
            "expired": signed(key, "EdDSA", iat=past - timedelta(minutes=5), exp=past),
            "ended": ended.headers,
            "locked": locked.headers,
            "other audience": signed(key, "EdDSA", aud=["elsewhere"]),
            "HS256, public key": signed(public, "HS256"),
            "alg none": signed(None, "none"),
            "other key": signed(session_signing_key("another secret"), "EdDSA"),
            "service as cookie": _cookie(service),
            "session as service": {SERVICE_TOKEN_HEADER: f"Bearer {spoiled}"},
        }
        # Of somebody who ends no session here: that would end the key as well.
        made = await (await bank.person("Keyholder", "operator")).post(
            "/auth/tokens", {"password": PASSWORD, "name": "matrix", "scopes": [KEY_SCOPE.value]}
        )
        assert made.status_code == 201, made.text
        self._headers["operator's key"] = {"Authorization": f"Bearer {made.json()['token']}"}

    def person(self, kind: str) -> Person:
        """Return somebody with a living session."""
        return self._people[kind]

    def path_of(self, route: Route) -> str:
        """Return the route's path, naming what is there."""
        path = route.path
        for template, value in self._paths.items():
            path = path.replace(template, value)
        return path

    def body_of(self, route: Route) -> dict[str, Any] | None:
        """Return a well-formed body of the route."""
        return self._bodies.get((route.method, route.path), {}) if route.body else None

    async def call(self, daemon: str, route: Route, kind: Kind) -> tuple[int, str]:
        """Send a well-formed request; return the status and the problem's code if there is one."""
        person = self._people.get(kind.name)
        headers = self._headers[kind.name] if person is None else person.headers
        if kind.service:
            # Made anew: a service token lives for a minute, and asking for the whole matrix may take longer.
            caller = "user_api" if daemon == "notifier" else "banking_api"
            headers = calls_of(caller).header_for(daemon)
        path = self.path_of(route)
        sent = {"X-Requested-With": "tests", "Idempotency-Key": str(uuid4()), **headers}
        request = self.whole.bank.http.build_request(
            route.method,
            self.whole.origins[daemon] + path,
            json=self.body_of(route),
            headers=sent,
        )
        # A stream of events never ends, so only its beginning is read.
        answer = await self.whole.bank.http.send(request, stream=True)
        if person is not None and route.method != "GET" and route.path.startswith(_ENDS_SESSIONS):
            await sign_in_again(person)
        try:
            if answer.is_success:
                return answer.status_code, ""
            await answer.aread()
            return answer.status_code, str(answer.json()["code"])
        finally:
            await answer.aclose()


def verdict_of(status: int, code: str) -> str:
    """Return what the guards said: `401`, `403`, or `in`, whatever the handler then made of it."""
    if status == 401 and code in {"not_signed_in", "session_ended"}:
        return "401"
    if status == 403 and code in {"forbidden", "scope_missing", "second_factor_required"}:
        return "403"
    return "in"


def routes() -> list[tuple[str, Route]]:
    """Return every declared route of every daemon."""
    return [(daemon, route) for daemon, app in applications().items() for route in app[ROUTES_KEY]]


async def sign_in_again(person: Person) -> None:
    """Give somebody a new session."""
    credentials = {"email": person.email, "password": PASSWORD}
    # From an address of their own: that of the tests may be held back for its many wrong passwords.
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    login: httpx.Response = await person.call("POST", "/auth/login", credentials, **elsewhere)
    assert login.status_code == 200, login.text
    person.headers["Cookie"] = _cookie(login.headers["set-cookie"].partition("=")[2].partition(";")[0])[
        "Cookie"
    ]


def _cookie(token: str) -> Headers:
    return {"Cookie": f"{SESSION_COOKIE}={token}"}


def _bodies(account: str, second: str, victim: Person) -> dict[tuple[str, str], dict[str, Any]]:
    transfer = {"from_account": account, "to_account": second, "amount": "1.00", "currency": "EUR"}
    reason: Callable[[], dict[str, Any]] = lambda: {"reason": "matrix"}  # noqa: E731 - one dict each
    return {
        ("POST", "/users"): {"email": victim.email, "display_name": "V", "password": PASSWORD},
        ("POST", "/auth/login"): {"email": victim.email, "password": PASSWORD},
        ("POST", "/users/confirm"): {"email": _NO_ADDRESS, "code": "AAAA", "password": PASSWORD},
        ("POST", "/auth/reset"): {"email": victim.email},
        ("POST", "/auth/reset/confirm"): {
            "email": _NO_ADDRESS,
            "code": "AAAA",
            "new_password": PASSWORD,
        },
        ("PATCH", "/users/{id}/role"): {"role": "user", **reason()},
        ("PATCH", "/users/{id}/lock"): reason(),
        ("POST", "/users/{id}/view-as"): reason(),
        ("POST", "/users/{id}/enrolment-code"): reason(),
        ("POST", "/users/{id}/erase"): reason(),
        ("PATCH", "/users/{id}/unlock"): reason(),
        ("POST", "/auth/change-password"): {
            "current_password": PASSWORD,
            "new_password": PASSWORD,
            "end_other_sessions": False,
        },
        ("POST", "/auth/email"): {"password": "not the password", "new_email": "new@example.com"},
        ("POST", "/auth/email/confirm"): {"code": "AAAA"},
        ("POST", "/auth/name"): {"password": "not the password", "display_name": "Ann Other"},
        ("POST", "/auth/undo"): {"email": _NO_ADDRESS, "code": "AAAA"},
        ("POST", "/auth/totp/lost"): {"email": _NO_ADDRESS, "password": "not the password"},
        ("POST", "/auth/totp/keep"): {"email": _NO_ADDRESS, "code": "AAAA"},
        ("PATCH", "/users/{id}/reset-second-factor"): reason(),
        ("POST", "/auth/totp"): {"password": "not the password"},
        ("POST", "/auth/totp/confirm"): {"totp": "000000"},
        ("POST", "/auth/totp/remove"): {"password": "not the password", "totp": "000000"},
        ("POST", "/auth/payment-confirmations"): {"payments": [{**transfer, "idempotency_key": "matrix"}]},
        ("POST", "/auth/tokens"): {"password": PASSWORD, "name": "n", "scopes": ["use_own_accounts"]},
        ("POST", "/internal/callers/verify"): question(_NOTHING),
        ("POST", "/internal/users/batch"): {"ids": [_NOTHING]},
        ("POST", "/internal/users/standings"): {"ids": [_NOTHING]},
        ("POST", "/internal/messages"): {
            "message_id": "matrix",
            "template": "password_changed",
            "recipient": {"email": "v@example.com", "name": "V", "user_id": None, "language": "en"},
            "values": {},
            "expires_at": None,
        },
        ("POST", "/approvals/users/{id}/reject"): reason(),
        ("POST", "/approvals/ledger/{id}/reject"): reason(),
        ("POST", "/dead-letters/resume"): reason(),
        ("POST", "/webhooks"): {"url": "https://receiver.example/bank", **reason()},
        ("POST", "/webhooks/{id}/rotate"): reason(),
        ("POST", "/webhooks/{id}/remove"): reason(),
        ("POST", "/events/missing"): {"ids": [_NOTHING]},
        ("POST", "/ledger/events/republish"): {"transaction_ids": [_NOTHING], **reason()},
        ("POST", "/ledger/events/give-up"): {"event_ids": [_NOTHING], **reason()},
        ("POST", "/ledger/accounts/rebuild"): reason(),
        ("POST", "/accounts"): {"type": "checking", "currency": "EUR"},
        ("PATCH", "/accounts/{id}/freeze"): reason(),
        ("PATCH", "/accounts/{id}/unfreeze"): reason(),
        ("PATCH", "/accounts/{id}/type"): {"type": "checking"},
        ("PATCH", "/accounts/{id}/name"): {"name": "Rent"},
        ("PATCH", "/accounts/{id}/close"): {},
        ("POST", "/accounts/{id}/fund"): {"amount": "1.00", "currency": "EUR"},
        ("POST", "/accounts/{id}/withdraw"): {"amount": "1.00", "currency": "EUR"},
        ("POST", "/transactions/{id}/reverse"): reason(),
        ("POST", "/accounts/{id}/adjust"): {
            "direction": "credit",
            "amount": "1.00",
            "currency": "EUR",
            "reason": "matrix",
        },
        ("POST", "/transactions/transfer"): transfer,
        ("POST", "/transactions/withdraw"): {
            "from_account": transfer["from_account"],
            "amount": "1.00",
            "currency": "EUR",
            "beneficiary": {"name": "Zoe Lang", "iban": "DE89370400440532013000"},
        },
        ("POST", "/transactions/preview"): transfer,
        ("POST", "/transactions/batch/preview"): {"transfers": [{**transfer, "idempotency_key": "p"}]},
        ("POST", "/transactions/batch"): {"transfers": [{**transfer, "idempotency_key": "k"}]},
    }
