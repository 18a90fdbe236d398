"""A day of each of the three who use the bank, by command line only: user, operator, support."""

import json
from typing import Any

from tests.support.person import PASSWORD, Person, funded_account, gateway_client
from tests.support.stack import LocalStack
from tests.support.terminal import Running
from tests.support.waiting import eventually


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
        await sees_it_at_a_glance(tess, happened[1][1])

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


async def sees_it_at_a_glance(tess: Person, refused: str) -> None:
    """Rates, reasons, and what waits at either daemon."""
    overview = await tess.json("events", "top", "--once", "--window", "600")
    assert overview["missing"] == {}
    assert overview["relay"]["relay"]["failure"] is None
    summary = overview["events"]
    counts = {one["type"]: one["count"] for one in summary["events"]}
    assert min(counts["TransactionCompleted"], counts["TransactionFailed"], counts["AccountChanged"]) > 0
    assert "insufficient_funds" in {one["code"] for one in summary["reasons"]}
    assert {one["topic"] for one in summary["waiting"]} == set(counts)
    assert refused in {event["id"] for event in summary["last_failures"]}
    shown = await tess.run("events", "top", "--once")
    assert "insufficient_funds" in shown.out
    assert await tess.refusal("events", "top", status=2) == "usage"


async def test_users_may_not_follow_events(ann: Person) -> None:
    assert await ann.refusal("events", "tail", status=5) == "forbidden"
    assert await ann.refusal("events", "top", "--once", status=5) == "forbidden"
    assert await ann.refusal("admin", "prove", status=5) == "forbidden"


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
