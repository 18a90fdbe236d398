"""What survives kill -9 of the notifier and of MongoDB, and `dev down`, while a file is being paid."""

import csv
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.lists import pages
from tests.e2e.results import kept_rows, until_settled
from tests.support.person import Person
from tests.support.stack import LocalStack
from tests.support.waiting import eventually

pytestmark = pytest.mark.campaign

ROWS = 1_500
MANY_ROWS = 10_000
"""So many that they are still being paid when `dev down` has started."""
KILLED_AFTER_ROWS = 300


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def payer(stack: LocalStack) -> Person:
    return await stack.register("Paula")


@pytest_asyncio.fixture
async def accounts(payer: Person, operator: Person) -> tuple[str, str]:
    """An account that holds one euro for each row, and one that holds nothing."""
    sender, receiver = await payer.open_account(), await payer.open_account()
    await operator.run("admin", "fund", sender, str(ROWS))
    return sender, receiver


async def test_a_killed_notifier_loses_no_event_and_tells_none_twice(
    stack: LocalStack,
    payer: Person,
    operator: Person,
    support: Person,
    accounts: tuple[str, str],
    tmp_path: Path,
) -> None:
    command, results = payment_file(tmp_path, accounts)
    position = (await support.json("events", "history", "--limit", "1"))[0]["position"]
    notifier = await stack.part("notifier")
    follow = ("events", "tail", "--after", str(position), "--account", accounts[1], "-o", "json")
    types = ("--type", "TransactionCompleted")
    async with support.start(*follow, *types, "--count", str(ROWS)) as tail, payer.start(*command) as paying:
        await until_settled(results, KILLED_AFTER_ROWS, paying)
        notifier.kill()
        assert (await paying.outcome()).json["summary"]["paid"] == ROWS
        followed = await tail.outcome()
    await stack.until_replaced(notifier)
    await operator.run("admin", "prove", "--wait", "60")

    paid = set(paid_transactions(results))
    assert len(paid) == ROWS
    async with await support.http() as http:
        recorded = await pages(http, "/events/history", type="TransactionCompleted", account=accounts[1])
        notified = await pages(http, "/notifications")
    assert Counter(event["data"]["transaction_id"] for event in recorded) == Counter(paid)
    assert Counter(notice["event_id"] for notice in notified if notice["event_id"] in paid) == Counter(paid)
    # The stream was cut by the kill; it went on behind the last event it had shown.
    assert followed.status == 0, followed
    shown = [json.loads(line) for line in followed.out.splitlines()]
    assert Counter(event["data"]["transaction_id"] for event in shown) == Counter(paid)
    positions = [event["position"] for event in shown]
    assert positions == sorted(positions)


async def test_a_killed_database_loses_nothing_that_was_acknowledged(
    stack: LocalStack, payer: Person, operator: Person, accounts: tuple[str, str], tmp_path: Path
) -> None:
    command, results = payment_file(tmp_path, accounts)
    mongod = await stack.part("mongod")
    async with payer.start(*command) as paying:
        await until_settled(results, KILLED_AFTER_ROWS, paying)
        mongod.kill()
        acknowledged = paid_transactions(results)
        outcome = await paying.outcome()
    assert outcome.status == 0, outcome
    assert outcome.json["summary"]["paid"] == ROWS
    await stack.until_replaced(mongod)

    assert len(acknowledged) >= KILLED_AFTER_ROWS
    async with await payer.http() as http:
        booked = await pages(http, f"/accounts/{accounts[1]}/transactions")
    assert Counter(line["transaction_id"] for line in booked) == Counter(paid_transactions(results))
    assert set(acknowledged) <= {line["transaction_id"] for line in booked}
    assert [await payer.balance(account) for account in accounts] == ["0.00", f"{ROWS}.00"]
    await operator.run("admin", "prove", "--wait", "60")


async def test_down_under_load_ends_everything_and_loses_nothing_that_was_acknowledged(
    stack: LocalStack, payer: Person, operator: Person, accounts: tuple[str, str], tmp_path: Path
) -> None:
    await operator.run("admin", "fund", accounts[0], str(MANY_ROWS - ROWS))
    command, results = payment_file(tmp_path, accounts, rows=MANY_ROWS)
    before = await stack.status()
    pids = {before["supervisor_pid"], *(part["pid"] for part in before["parts"])}
    assert None not in pids
    async with payer.start(*command) as paying:
        await until_settled(results, KILLED_AFTER_ROWS, paying)
        await stack.terminal.run("dev", "down")
        assert not paying.ended
        assert not pids & {process.pid for process in stack.processes()}
        after = await stack.status()
        assert [part["pid"] for part in after["parts"]] == [None] * len(before["parts"])
        acknowledged = paid_transactions(results)
        assert KILLED_AFTER_ROWS <= len(acknowledged) < MANY_ROWS
        await stack.terminal.run("dev", "up")
        outcome = await paying.outcome()
    assert outcome.status == 0, outcome
    assert outcome.json["summary"]["paid"] == MANY_ROWS

    paid = paid_transactions(results)
    assert set(acknowledged) <= set(paid)
    async with await payer.http() as http:
        booked = await pages(http, f"/accounts/{accounts[1]}/transactions")
    assert Counter(line["transaction_id"] for line in booked) == Counter(paid)
    assert [await payer.balance(account) for account in accounts] == ["0.00", f"{MANY_ROWS}.00"]
    await operator.run("admin", "prove", "--wait", "60")
    assert await stack.is_healthy()


async def test_one_payment_without_a_database_is_settled_later_and_paid_once(
    stack: LocalStack, payer: Person, operator: Person, accounts: tuple[str, str]
) -> None:
    mongod = await stack.part("mongod")
    given = ("--currency", "EUR", "--idempotency-key", f"rent-{accounts[0]}")
    payment = ("transfer", *accounts, "7.50", *given)

    async def on_its_way() -> bool:
        return bool(payer.pending_transfers())

    async with AsyncExitStack() as held:
        async with stack.without_restarts():
            mongod.kill()
            paying = await held.enter_async_context(payer.start(*payment))
            await eventually(on_its_way)
        tries = [await paying.outcome()]

    async def settled() -> bool:
        if tries[-1].status == 9:
            tries.append(await payer.attempt("transactions", "retry", "--all"))
        elif tries[-1].status != 0:
            tries.append(await payer.attempt(*payment))
        # Not reached: nothing was done, or nobody knows; every other end would be a wrong answer.
        assert {tried.status for tried in tries} <= {0, 8, 9}, tries[-1]
        return tries[-1].status == 0

    await eventually(settled)
    await stack.until_replaced(mongod)
    assert [await payer.balance(account) for account in accounts] == [f"{ROWS - 8}.50", "7.50"]
    assert payer.pending_transfers() == []
    await operator.run("admin", "prove", "--wait", "60")


async def test_a_bank_that_was_killed_still_knows_what_it_has_paid(
    stack: LocalStack, payer: Person, accounts: tuple[str, str]
) -> None:
    payment = ("transfer", *accounts, "7.50", "--idempotency-key", f"rent-{accounts[0]}")
    paid = await payer.json(*payment)
    bank = await stack.part("banking_api")
    bank.kill()
    await stack.until_replaced(bank)
    again = await payer.json(*payment)
    assert (again["id"], again["replayed"]) == (paid["id"], True)
    assert await payer.balance(accounts[1]) == "7.50"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a stopped process has not read")
async def test_a_payment_that_was_cut_off_is_unknown_until_it_is_retried(
    stack: LocalStack, payer: Person, operator: Person, accounts: tuple[str, str]
) -> None:
    bank = await stack.part("banking_api")

    async def request_arrived() -> bool:
        return bank.has_unread_bytes()

    async with stack.without_restarts():
        bank.pause()
        async with payer.start("transfer", *accounts, "7.50", "--currency", "EUR", "-o", "json") as paying:
            await eventually(request_arrived)
            bank.kill()
            cut_off = await paying.outcome()
    assert cut_off.status == 9, cut_off
    assert cut_off.problem["code"] == "outcome_unknown"
    key = cut_off.problem["details"]["idempotency_key"]
    assert f"bankctl transactions retry {key}" in cut_off.problem["hint"]
    await stack.until_replaced(bank)

    (settled,) = await payer.json("transactions", "retry")
    assert (settled["outcome"], settled["idempotency_key"]) == ("completed", key)
    assert payer.pending_transfers() == []
    assert [await payer.balance(account) for account in accounts] == [f"{ROWS - 8}.50", "7.50"]


def payment_file(
    folder: Path, accounts: tuple[str, str], *, rows: int = ROWS
) -> tuple[tuple[str, ...], Path]:
    """Write a file with a row for each euro; returns the command that pays it and where its results are."""
    file, results = folder / "euros.csv", folder / "results.jsonl"
    with file.open("w", newline="") as written:
        writer = csv.writer(written)
        writer.writerow(["from", "to", "amount", "currency", "reference"])
        writer.writerows([*accounts, "1", "EUR", f"row {number}"] for number in range(rows))
    files = ("--file", str(file), "--results", str(results))
    return ("transfer", *files, "--wait", "120", "-o", "json"), results


def paid_transactions(results: Path) -> list[str]:
    """The transactions that the bank has said are completed, as far as the results say so."""
    return [row["transaction_id"] for row in kept_rows(results) if row["result"] == "paid"]
