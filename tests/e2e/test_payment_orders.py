"""All 3,304 real payment orders are paid exactly once, although the bank and the command line are killed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.lists import pages
from tests.e2e.payment_orders import (
    VARIABLE,
    PaymentOrder,
    due_to_payee,
    orders_file,
    owed_by_payer,
    read_payment_orders,
    write_transfer_file,
)
from tests.e2e.results import kept_rows, settled_rows, until_settled
from tests.support.person import Person
from tests.support.stack import LocalStack
from tests.support.waiting import patience

ORDERS = 3_304
PAYERS = 1_896
PAYEES = 3_300
TOTAL = Decimal("10749412.20")
WORKERS = 16
BANK_IS_KILLED_AFTER_ROWS = 500
COMMAND_IS_KILLED_AFTER_ROWS = 2_000

# Asked before any fixture, so that no bank is started for nothing.
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        not orders_file().is_file(),
        reason=f"the payment orders are not at {orders_file()}; {VARIABLE} names another place",
    ),
]


async def test_every_real_payment_order_is_paid_exactly_once_through_two_kills(
    stack: LocalStack, operator: Person, support: Person, tmp_path: Path
) -> None:
    orders = read_payment_orders(orders_file())
    owed, due = owed_by_payer(orders), due_to_payee(orders)
    assert (len(orders), len(owed), len(due)) == (ORDERS, PAYERS, PAYEES)
    assert sum(owed.values()) == sum(due.values()) == TOTAL
    payer, payee = await stack.register("Payer"), await stack.register("Payee")
    accounts = await open_accounts(payer, owed) | await open_accounts(payee, due)
    await fund(operator, {accounts[name]: amount for name, amount in owed.items()})
    file, results = tmp_path / "orders.csv", tmp_path / "results.jsonl"
    write_transfer_file(file, orders, accounts)

    command = ("transfer", "--file", str(file), "--results", str(results), "--wait", "120", "-o", "json")
    bank = await stack.part("banking_api")
    async with payer.start(*command) as paying:
        await until_settled(results, BANK_IS_KILLED_AFTER_ROWS, paying)
        bank.kill()
        await until_settled(results, COMMAND_IS_KILLED_AFTER_ROWS, paying)
        killed = await paying.kill()
    assert killed.status == -9, killed
    assert (await stack.part("banking_api")).pid != bank.pid
    earlier = settled_rows(results)
    assert COMMAND_IS_KILLED_AFTER_ROWS <= earlier < ORDERS

    resumed = (await payer.run(*command)).json["summary"]
    # What the killed command sent and did not keep, the bank tells as paid before.
    paid = ORDERS - earlier - resumed["replayed"]
    assert counts(resumed) == {"paid": paid, "skipped": earlier, "failed": 0, "refused": 0}
    once_more = (await payer.run(*command)).json["summary"]
    assert counts(once_more) == {"paid": 0, "skipped": ORDERS, "failed": 0, "refused": 0}
    # Another machine knows nothing of the results, so it sends every row again; the bank knows them all.
    elsewhere = await payer.run(*command, "--resume", "--results", str(tmp_path / "elsewhere.jsonl"))
    assert elsewhere.json["summary"]["replayed"] == ORDERS

    paid = await transactions_of(payer)
    assert_each_order_is_one_transaction(orders, accounts, paid, results)
    assert await balances(payer) == {accounts[name]: Decimal(0) for name in owed}
    assert await balances(payee) == {accounts[name]: amount for name, amount in due.items()}
    proof = (await operator.run("admin", "prove", "--wait", "60", "-o", "json")).json
    assert proof["holds"]
    await assert_each_is_told_once(support, {transaction["id"] for transaction in paid})


async def open_accounts(owner: Person, names: Iterable[str]) -> dict[str, str]:
    """Open one account for each name and return their numbers."""
    accounts: dict[str, str] = {}
    async with await owner.http() as http:

        async def open_one(name: str) -> None:
            body = {"type": "checking", "currency": "CZK", "name": name}
            accounts[name] = (await post(http, "/accounts", body, key=f"open-{name}"))["id"]

        await side_by_side(open_one, names)
    return accounts


async def fund(operator: Person, amounts: dict[str, Decimal]) -> None:
    """Credit each account with what its owner is going to pay, and not a haler more."""
    async with await operator.http() as http:

        async def fund_one(account: str) -> None:
            body = {"amount": str(amounts[account]), "currency": "CZK"}
            await post(http, f"/accounts/{account}/fund", body, key=f"orders-of-{account}")

        await side_by_side(fund_one, amounts)


async def post(http: httpx.AsyncClient, path: str, body: dict[str, Any], *, key: str) -> dict[str, Any]:
    async with patience(f"{key} to be answered"):
        while True:
            answer = await http.post(path, json=body, headers={"Idempotency-Key": key})
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            # The bank of a busy machine says that nothing was done; the key makes it safe to ask again.
            await asyncio.sleep(answer.json()["retry_after_seconds"])
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def side_by_side(act: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
    """Do it for each name, a bounded number of them at once."""
    left = iter(names)

    async def work() -> None:
        for name in left:
            await act(name)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())


def counts(summary: dict[str, Any]) -> dict[str, int]:
    return {name: summary[name] for name in ("paid", "skipped", "failed", "refused")}


async def transactions_of(person: Person) -> list[dict[str, Any]]:
    async with await person.http() as http:
        return await pages(http, "/transactions")


async def balances(owner: Person) -> dict[str, Decimal]:
    async with await owner.http() as http:
        found = await pages(http, "/accounts")
    return {account["id"]: Decimal(account["balance"]["amount"]) for account in found}


def assert_each_order_is_one_transaction(
    orders: list[PaymentOrder], accounts: dict[str, str], paid: list[dict[str, Any]], results: Path
) -> None:
    """The journal holds the orders, no more and no fewer, and the results name the transaction of each."""
    ordered = {
        order.order_id: (
            accounts[order.payer],
            accounts[order.payee],
            order.amount,
            order.currency,
            order.reference,
        )
        for order in orders
    }
    booked = {
        transaction["id"]: (
            transaction["from_account"],
            transaction["to_account"],
            Decimal(transaction["amount"]["amount"]),
            transaction["amount"]["currency"],
            transaction["reference"],
        )
        for transaction in paid
    }
    assert {transaction["status"] for transaction in paid} == {"completed"}
    assert len(paid) == len(booked) == ORDERS
    assert Counter(ordered.values()) == Counter(booked.values())
    kept = kept_rows(results)
    assert len(kept) == len({row["transaction_id"] for row in kept}) == ORDERS
    assert {row["extra"]["order_id"]: booked[row["transaction_id"]] for row in kept} == ordered


async def assert_each_is_told_once(support: Person, transaction_ids: set[str]) -> None:
    """Each transaction is one TransactionCompleted at the notifier, and one notification."""
    async with await support.http() as http:
        events = await pages(http, "/events/history", type="TransactionCompleted")
        notifications = await pages(http, "/notifications")
    ours = [event for event in events if event["data"]["transaction_id"] in transaction_ids]
    told = [notice for notice in notifications if notice["event_id"] in {event["id"] for event in ours}]
    assert len({event["data"]["transaction_id"] for event in ours}) == len(ours) == ORDERS
    assert len({notice["event_id"] for notice in told}) == len(told) == ORDERS
    assert {notice["event_type"] for notice in told} == {"TransactionCompleted"}
