"""The id of a session is in its tokens alone: no answer, no audit record, no log and no event tells it."""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from pyotp import TOTP
from structlog.testing import capture_logs

from daemons.shared.clock import utc_now
from tests.support.bank import PASSWORD, Person
from tests.support.whole_bank import WholeBank, running_whole_bank

_FORGERY = {"X-Requested-With": "tests"}


@pytest.fixture
async def whole(mongo_uri: str) -> AsyncIterator[WholeBank]:
    async with running_whole_bank(mongo_uri) as running:
        yield running


class Recorder:
    """Sees every answer that a client gets, but for what sets its cookies, and every access token."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.answers: list[str] = []
        self.session_ids: set[UUID] = set()
        http.event_hooks["response"].append(self._note)

    async def _note(self, answer: httpx.Response) -> None:
        await answer.aread()
        kept = [f"{name}: {value}" for name, value in answer.headers.items() if name != "set-cookie"]
        self.answers.append("\n".join([str(answer.url), *kept, answer.text]))
        for cookie in answer.headers.get_list("set-cookie"):
            name, _, rest = cookie.partition("=")
            if name == "__Host-bankctl" and "." in (token := rest.partition(";")[0]):
                claims = jwt.decode(token, options={"verify_signature": False})
                self.session_ids.add(UUID(claims["sid"]))


async def sign_in(whole: WholeBank, person: Person, **more: str) -> dict[str, str]:
    """Begin another session and return its cookies."""
    credentials = {"email": person.email, "password": PASSWORD, **more}
    answer = await whole.bank.http.post(
        f"{whole.bank.user_api}/auth/login", json=credentials, headers=_FORGERY
    )
    assert answer.status_code == 200, answer.text
    cookies = [header.partition(";")[0] for header in answer.headers.get_list("set-cookie")]
    return {"Cookie": "; ".join(cookies)}


async def play_a_day(whole: WholeBank) -> None:
    """Have people sign in and out, renew, change, be refused and be locked, and move some money."""
    bank, http = whole.bank, whole.bank.http
    ann, olga = await bank.person("Ann"), await bank.person("Olga", "operator")
    ada = await bank.person("Ada", "admin")
    account, second = await ann.open_account(), await ann.open_account()
    await olga.fund(account, "10.00")
    await ann.transfer(account, second, "1.00")
    await ann.transfer(account, second, "100.00")
    await ann.get(f"/accounts/{uuid4()}")
    await olga.patch(f"/accounts/{account}/freeze", {"reason": "x"})

    for _ in range(3):
        await sign_in(whole, ann)
    listed = (await ann.get("/auth/sessions")).json()["items"]
    other = next(one for one in listed if not one["current"])
    assert (await ann.call("DELETE", f"/auth/sessions/{other['id']}")).status_code == 204
    assert (await ann.call("DELETE", f"/auth/sessions/{uuid4()}")).status_code == 404
    await ann.call("DELETE", "/auth/sessions?keep_current=true")
    await ann.get("/auth/session")

    renewing = await sign_in(whole, ann)
    await http.post(f"{bank.user_api}/auth/refresh", headers={**_FORGERY, **renewing})
    used = {"used_at": utc_now() - timedelta(minutes=1)}
    await bank.users["refresh_tokens"].update_many({"used_at": {"$ne": None}}, {"$set": used})
    reused = await http.post(f"{bank.user_api}/auth/refresh", headers={**_FORGERY, **renewing})
    assert (reused.status_code, reused.json()["code"]) == (401, "session_ended")
    for origin, path in (
        (bank.user_api, "/users/me"),
        (bank.banking_api, "/accounts"),
        (whole.origins["notifier"], "/events/history"),
    ):
        ended = await http.get(origin + path, headers=renewing)
        assert ended.status_code == 401

    begun = await ann.post("/auth/totp", {"password": PASSWORD})
    code = TOTP(begun.json()["secret"]).now()
    assert (await ann.post("/auth/totp/confirm", {"totp": code})).status_code == 200
    await ann.post("/auth/tokens", {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"]})
    passwords = {"current_password": PASSWORD, "new_password": "eleven loud herons"}
    assert (await ann.post("/auth/change-password", passwords)).status_code == 204
    leaving = await sign_in(whole, olga)
    out = await http.post(f"{bank.user_api}/auth/logout", headers={**_FORGERY, **leaving})
    assert out.status_code == 204
    await ada.patch(f"/users/{olga.user_id}/role", {"role": "support", "reason": "x"})
    await ada.patch(f"/users/{ann.user_id}/lock", {"reason": "x"})
    for path in ("/audit/users", "/audit/ledger", "/approvals/users", "/users"):
        assert (await ada.get(f"{path}?limit=200")).status_code == 200


def spellings(session_ids: Iterable[UUID]) -> list[str]:
    return [text for one in session_ids for text in (str(one), one.hex, str(one).upper())]


async def test_a_session_id_is_told_to_nobody(whole: WholeBank) -> None:
    recorder = Recorder(whole.bank.http)
    with capture_logs() as logs:
        await play_a_day(whole)
    stored: dict[str, list[dict[str, Any]]] = {}
    for database in (whole.bank.users, whole.bank.ledger, whole.events):
        for name in ("audit", "approvals", "outbox", "events", "notifications"):
            stored[f"{database.name}.{name}"] = await database[name].find({}).to_list()
    told = {
        "answers": "\n".join(recorder.answers),
        "logs": "\n".join(json.dumps(entry, default=str) for entry in logs),
        "stored": json.dumps(stored, default=str),
    }

    assert len(recorder.session_ids) == 8
    # The grep finds what is there: a session is told by its public name.
    actions = {record["action"] for record in stored[f"{whole.bank.users.name}.audit"]}
    assert {"sign_in", "end_session", "sign_out", "refresh_token.reused", "end_all_sessions"} <= actions
    events = {entry["event"] for entry in logs}
    assert {"signed in", "session ended", "session refreshed", "refresh token reused"} <= events
    found = {
        where: [text for text in spellings(recorder.session_ids) if text in all_of_it]
        for where, all_of_it in told.items()
    }
    assert found == {"answers": [], "logs": [], "stored": []}
