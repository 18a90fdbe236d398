"""Lists page by page: every row once, in one order, whatever happens between two pages."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.bank import Bank, Person, people

LIMITS = [1, 3]
BEYOND_THE_BALANCE = "900000.00"


async def rows_by_pages(
    person: Person, path: str, limit: int, *, between: Callable[[], Awaitable[object]]
) -> list[dict[str, Any]]:
    """Read a list to its end; something happens after each page but the last."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await person.get(f"{path}limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page["items"]) <= limit
        rows += page["items"]
        if page["next_cursor"] is None:
            return rows
        assert len(page["items"]) == limit
        cursor = f"&cursor={page['next_cursor']}"
        await between()


@pytest.mark.parametrize("limit", LIMITS)
async def test_accounts_opened_in_one_millisecond_are_listed_once_each(bank: Bank, limit: int) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    opened = [await alice.open_account() for _ in range(7)]
    at_once = datetime(2026, 11, 29, 12, tzinfo=UTC)
    accounts, these = bank.ledger["accounts"], {"_id": {"$in": opened}}
    before = [document async for document in accounts.find(these)]
    await accounts.update_many(these, {"$set": {"opened_at": at_once}})
    try:
        for reader, path in ((alice, "/accounts?"), (operator, f"/accounts?owner_id={alice.user_id}&")):
            shown = await rows_by_pages(reader, path, limit, between=alice.open_account)
            listed = [account["id"] for account in shown if account["id"] in opened]
            assert listed == sorted(opened, reverse=True)
    finally:
        # The other tests of this bank prove that its accounts are what their records say.
        for document in before:
            change = {"$set": {"opened_at": document["opened_at"]}}
            await accounts.update_one({"_id": document["_id"]}, change)


@pytest.mark.parametrize("limit", LIMITS)
async def test_transactions_are_listed_once_each_newest_first(bank: Bank, limit: int) -> None:
    alice, _, _, sender, receiver = await people(bank)

    async def pay(reference: str, amount: str = "0.01") -> None:
        await alice.transfer(sender, receiver, amount, reference=reference)

    for number in range(4):
        await pay(f"paid {number}")
        await pay(f"refused {number}", BEYOND_THE_BALANCE)

    async def pay_more() -> None:
        await pay("between two pages")

    def of(kinds: tuple[str, ...]) -> list[str]:
        return [f"{kind} {number}" for number in range(3, -1, -1) for kind in kinds]

    for query, expected in (
        ("", of(("refused", "paid"))),
        ("status=completed&", of(("paid",))),
        ("status=failed&", of(("refused",))),
    ):
        shown = await rows_by_pages(alice, f"/transactions?{query}", limit, between=pay_more)
        references = [row["reference"] for row in shown]
        assert [one for one in references if one != "between two pages"] == expected


@pytest.mark.parametrize("limit", LIMITS)
async def test_refusals_that_share_a_number_stand_once_each_in_a_statement(bank: Bank, limit: int) -> None:
    """A refusal takes no number of its own: several stand at the number of the entry before them."""
    alice, _, _, sender, receiver = await people(bank)
    expected: list[str] = []
    for number in range(2):
        await alice.transfer(sender, receiver, "1.00", reference=f"paid {number}")
        expected.append(f"paid {number}")
        for attempt in range(3):
            reference = f"refused {number}.{attempt}"
            await alice.transfer(sender, receiver, BEYOND_THE_BALANCE, reference=reference)
            expected.append(reference)

    async def pay_more() -> None:
        await alice.transfer(sender, receiver, "0.01", reference="between two pages")

    shown = await rows_by_pages(alice, f"/accounts/{sender}/transactions?", limit, between=pay_more)
    references = [line["reference"] for line in shown if line["kind"] == "transfer"]
    assert [one for one in references if one != "between two pages"] == expected[::-1]
