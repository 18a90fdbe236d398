"""A day of each of the three who use the bank, by command line only: user, operator, support."""

import csv
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest_asyncio
from stdnum import damm

from tests.support.stack import PASSWORD, LocalStack, Person, gateway_client
from tests.support.terminal import Running
from tests.support.waiting import eventually

# Registered with the right check digit, but no bank gives out this number in a run.
NOBODYS_ACCOUNT = "987654321" + damm.calc_check_digit("987654321")
MISTYPED_ACCOUNT = NOBODYS_ACCOUNT[:-1] + str((int(NOBODYS_ACCOUNT[-1]) + 1) % 10)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ann(stack: LocalStack) -> Person:
    return await stack.register("Ann")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bob(stack: LocalStack) -> Person:
    return await stack.register("Bob")


async def funded_account(owner: Person, operator: Person, amount: str) -> str:
    account = await owner.open_account()
    await operator.run("admin", "fund", account, amount)
    return account


async def test_a_user_registers_pays_reads_the_statement_and_logs_out(
    stack: LocalStack, operator: Person, bob: Person
) -> None:
    carol = await stack.visitor("Carol")
    given = ("register", "--email", carol.email, "--name", "Carol Čermáková", "--password-stdin")
    registered = await carol.json(*given, stdin=f"{PASSWORD}\n")
    assert (registered["role"], registered["email"]) == ("user", carol.email)
    assert await carol.refusal("whoami", status=4) == "not_logged_in"
    await carol.login()
    assert (await carol.json("whoami"))["display_name"] == "Carol Čermáková"
    account, bobs = await funded_account(carol, operator, "100"), await bob.open_account()

    paid = await carol.json("transfer", account, bobs, "30.50", "--reference", "lunch & tea")
    assert (paid["status"], paid["replayed"]) == ("completed", False)
    assert (await carol.balance(account), await bob.balance(bobs)) == ("69.50", "30.50")
    outgoing, incoming = await carol.json("accounts", "statement", account)
    assert (outgoing["amount"], outgoing["balance_after"]) == ("-30.50", "69.50")
    assert (outgoing["reference"], outgoing["counterparty"]["display_name"]) == ("lunch & tea", "Bob")
    assert (incoming["kind"], incoming["amount"], incoming["balance_after"]) == (
        "funding",
        "100.00",
        "100.00",
    )

    cookie = await carol.cookie()
    await carol.run("logout")
    assert await carol.refusal("accounts", "list", status=4) == "not_logged_in"
    async with gateway_client(stack.url, stack.ca_file, cookie) as stolen:
        answer = await stolen.get("/auth/session")
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")

        async def refused_by_the_ledger() -> bool:
            return (await stolen.get("/accounts")).status_code == 401

        # The other daemons believe a session for a few seconds before they ask again.
        await eventually(refused_by_the_ledger)


async def test_an_operator_funds_freezes_and_unfreezes(operator: Person, ann: Person, bob: Person) -> None:
    account, bobs = await funded_account(ann, operator, "50.00"), await bob.open_account()

    frozen = await operator.json("admin", "freeze", account, "--reason", "card stolen")
    assert (frozen["status"], frozen["status_reason"]) == ("frozen", "card stolen")
    assert await ann.refusal("transfer", account, bobs, "1", status=6) == "account_frozen"
    assert await operator.refusal("admin", "freeze", account, "--reason", "again", status=7) == (
        "account_already_frozen"
    )
    listed = await operator.json("admin", "accounts", "--status", "frozen", "--all")
    assert account in [found["id"] for found in listed]

    await operator.run("admin", "unfreeze", account, "--reason", "card replaced")
    await ann.run("transfer", account, bobs, "50")
    owner = (await ann.json("whoami"))["user_id"]
    owned = await operator.json("admin", "accounts", "--owner", owner, "--all")
    assert ("active", "0.00") in [
        (found["status"], found["balance"]["amount"]) for found in owned if found["id"] == account
    ]
    failed, *_ = await ann.json("transactions", "list", "--status", "failed")
    assert (failed["from_account"], failed["failure"]["code"]) == (account, "account_frozen")
    await operator.run("admin", "prove")


async def test_support_staff_see_events_as_they_happen_until_their_session_ends(
    stack: LocalStack, operator: Person, ann: Person, bob: Person
) -> None:
    tess = await stack.appoint("Tess", "support")
    account, bobs = await funded_account(ann, operator, "10"), await bob.open_account()
    async with tess.start("events", "tail", "-o", "json") as everything:
        await until_following(everything, ann)
        paid = await ann.json("transfer", account, bobs, "4", "--reference", "seen at once")
        refused = await ann.run("-o", "json", "transfer", account, bobs, "400", status=6)
        await operator.run("admin", "freeze", bobs, "--reason", "asked for")
        happened = [
            ("TransactionCompleted", paid["id"]),
            ("TransactionFailed", refused.problem["details"]["transaction_id"]),
            ("AccountChanged", "frozen"),
        ]
        await until_told(everything, happened)
        shown = [event for event in everything.documents if told(event) in happened]
        assert sorted(map(told, shown)) == sorted(happened)
        senders = [
            event["data"]["sender"]["owner"]["display_name"] for event in shown if "sender" in event["data"]
        ]
        assert senders == ["Ann", "Ann"]

        await filters_and_resumes(tess, everything.documents, account, happened)

        elsewhere = await stack.at_another_terminal(tess.email)
        await elsewhere.login()
        mine = (await tess.json("whoami"))["session_id"]
        await elsewhere.run("auth", "sessions", "--end", mine)
        ended = await everything.outcome()
    assert ended.status == 4, ended
    assert ended.problem["code"] == "session_ended"


async def filters_and_resumes(
    tess: Person, seen: list[dict[str, Any]], account: str, happened: list[tuple[str, str]]
) -> None:
    """The stream of one account and type is that part of all; after a position it goes on right behind it."""
    tail = ("events", "tail", "--since-start", "--account", account)
    of_account = await tess.run(*tail, "--count", "4", "-o", "json")
    assert sorted(event["type"] for event in map(parsed, of_account.out.splitlines())) == [
        "AccountChanged",
        "AccountFundedPayload",
        "TransactionCompleted",
        "TransactionFailed",
    ]
    only_failed = await tess.run(*tail, "--type", "TransactionFailed", "--count", "1")
    assert "TransactionFailed" in only_failed.out
    assert "400.00 EUR" in only_failed.out
    first, second, *_ = [event for event in seen if told(event) in happened]
    resumed = await tess.run(
        "events", "tail", "--after", str(first["position"]), "--count", "1", "-o", "json"
    )
    following = min(event["position"] for event in seen if event["position"] > first["position"])
    assert parsed(resumed.out)["position"] == following <= second["position"]


async def test_users_may_not_follow_events(ann: Person) -> None:
    assert await ann.refusal("events", "tail", status=5) == "forbidden"
    assert await ann.refusal("admin", "prove", status=5) == "forbidden"


async def test_a_broken_row_is_named_by_its_line_and_stops_no_other(
    operator: Person, ann: Person, bob: Person, tmp_path: Path
) -> None:
    account, bobs = await funded_account(ann, operator, "10"), await bob.open_account()
    rows = [
        [account, bobs, "1.00", "EUR", "first"],
        [account, bobs, "12,50", "EUR", "comma"],
        [account, MISTYPED_ACCOUNT, "1.00", "EUR", "slip of the finger"],
        [account, bobs, "1000.00", "EUR", "too much"],
        [account, NOBODYS_ACCOUNT, "1.00", "EUR", "nobody"],
        [account, bobs, "2.00", "EUR", "last"],
    ]
    file = tmp_path / "orders.csv"
    with file.open("w", newline="") as orders:
        csv.writer(orders).writerows([["from", "to", "amount", "currency", "reference"], *rows])

    outcome = await ann.run("transfer", "--file", str(file), "-o", "json", status=6)

    assert outcome.problem["code"] == "rows_not_paid"
    unpaid = [(row["line"], row["result"], row["problem"]["code"]) for row in outcome.json["failed_rows"]]
    assert unpaid == [
        (3, "refused", "invalid_row"),
        (4, "refused", "invalid_row"),
        (5, "failed", "insufficient_funds"),
        (6, "failed", "receiver_not_found"),
    ]
    assert outcome.json["summary"]["paid"] == 2
    assert (await ann.balance(account), await bob.balance(bobs)) == ("7.00", "3.00")


async def test_every_refusal_has_its_exit_status_and_a_stable_code(
    stack: LocalStack, operator: Person, ann: Person, bob: Person
) -> None:
    account, bobs = await funded_account(ann, operator, "1"), await bob.open_account()
    assert await ann.refusal("transfer", account, bobs, "1.005", status=2) in {
        "invalid_amount",
        "invalid_request",
    }
    assert await ann.refusal("no-such-command", status=2) == "usage"
    assert await ann.refusal("accounts", "show", NOBODYS_ACCOUNT, status=3) == "account_not_found"
    assert await ann.refusal("balance", bobs, status=3) == "account_not_found"
    assert await ann.refusal("transfer", account, bobs, "1.01", status=6) == "insufficient_funds"
    assert await ann.refusal("admin", "fund", account, "1", status=5) == "forbidden"
    taken = ("register", "--email", ann.email, "--name", "Ann again", "--password-stdin")
    assert await ann.refusal(*taken, status=7, stdin=f"{PASSWORD}\n") == "email_taken"
    wrong = ("login", "--email", ann.email, "--password-stdin")
    assert await bob.refusal(*wrong, status=4, stdin="not the password\n") == "invalid_credentials"
    key = str(uuid4())
    once = await ann.json("transfer", account, bobs, "0.40", "--idempotency-key", key)
    again = await ann.json("transfer", account, bobs, "0.40", "--idempotency-key", key)
    assert (again["id"], again["replayed"]) == (once["id"], True)
    other = ("transfer", account, bobs, "0.41", "--idempotency-key", key)
    assert await ann.refusal(*other, status=6) == "idempotency_key_reused"
    assert await ann.balance(account) == "0.60"

    nowhere = await stack.visitor("Nobody")
    await nowhere.run("config", "set", "url", "https://localhost:9", "--profile", "bank")
    lost = ("login", "--email", nowhere.email, "--password-stdin")
    assert await nowhere.refusal(*lost, status=8, stdin=f"{PASSWORD}\n") == "unreachable"


async def test_what_is_internal_is_not_at_the_gateway(stack: LocalStack, operator: Person) -> None:
    async with await operator.http() as http:
        for path in ("/internal/keys", "/internal/users/1", "/INTERNAL/keys", "/users/../internal/keys"):
            for method in ("GET", "POST"):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found"), path
        for path in ("/metrics", "/healthz", "/readyz", "/"):
            assert (await http.get(path)).status_code == 404, path
    assert await operator.refusal("api", "GET", "/internal/keys", status=3) == "route_not_found"


async def until_following(tail: Running, actor: Person) -> None:
    """Wait until the stream is open: from then on it shows what the actor does."""

    async def shows_something() -> bool:
        assert not tail.ended, await tail.outcome()
        await actor.open_account()
        return bool(tail.lines)

    await eventually(shows_something)


async def until_told(tail: Running, happened: list[tuple[str, str]]) -> None:
    async def all_told() -> bool:
        assert not tail.ended, await tail.outcome()
        return set(happened) <= {told(event) for event in tail.documents}

    await eventually(all_told)


def told(event: dict[str, Any]) -> tuple[str, str]:
    """What an event is about: the transaction, or what was done to an account."""
    data = event["data"]
    return event["type"], data.get("transaction_id") or data["change"]


def parsed(line: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line)
    return found
