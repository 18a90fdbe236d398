"""Accounts' numbers put both sides of every transfer in order, on a real Kafka."""

import asyncio
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer

from daemons.contracts.names import EventType
from tests.support.bank import Bank
from tests.support.waiting import patience

DOCUMENT = Path(__file__).parents[3] / "docs" / "events" / "README.md"
ROUNDS = 6
PAYERS = 8


def rule_of_the_document() -> dict[str, Any]:
    """What consumers are told to do, as it is printed."""
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - it is our own, and it is what is tested
    return found


class Partitions:
    """Everything in all topics, partition by partition in the order in which it lies there."""

    def __init__(self, broker: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": f"order-{uuid4()}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([event.value for event in EventType])
        self.records: dict[tuple[str, int], list[tuple[str, dict[str, Any]]]] = {}
        self.ids: set[str] = set()

    def read(self) -> None:
        for message in self._consumer.consume(500, timeout=0.2):
            assert message.error() is None, message.error()
            headers = dict(message.headers() or [])
            self.ids.add(headers["ce_id"].decode())
            place = (message.topic() or "", message.partition() or 0)
            data = json.loads(message.value() or b"")
            self.records.setdefault(place, []).append((headers["ce_type"].decode(), data))

    def close(self) -> None:
        self._consumer.close()


async def all_partitions(broker: str, ids: set[str]) -> Partitions:
    """Read until these events have come."""
    partitions = Partitions(broker)
    try:
        async with patience("all events", found=lambda: f"{len(ids - partitions.ids)} are missing"):
            while not ids <= partitions.ids:
                await asyncio.to_thread(partitions.read)
    finally:
        await asyncio.to_thread(partitions.close)
    return partitions


async def test_the_rule_of_the_document_puts_both_sides_of_every_account_in_order(
    telling_bank: Bank, kafka_broker: str
) -> None:
    alice = await telling_bank.person()
    operator = await telling_bank.person("Olga", "operator")
    shop = await alice.open_account()
    payers = [await alice.open_account() for _ in range(PAYERS)]
    for payer in payers:
        assert (await operator.fund(payer, "100.00")).status_code == 201
    told = set()
    for number in range(ROUNDS):
        answers = [await alice.transfer(payer, shop, f"{number + 1}.00") for payer in payers]
        answers.append(await alice.transfer(shop, payers[number], "2.00"))
        told |= {answer.json()["id"] for answer in answers}
    await operator.patch(f"/accounts/{shop}/freeze", {"reason": "a test"})
    refused = await alice.transfer(shop, payers[0], "1.00")
    told.add(refused.json()["details"]["transaction_id"])
    await operator.patch(f"/accounts/{shop}/unfreeze", {"reason": "a test"})
    told.add((await alice.transfer(shop, payers[0], "1.00")).json()["id"])

    partitions = await all_partitions(kafka_broker, told)
    mine = {shop, *payers}
    rule = rule_of_the_document()
    in_order, numbered = rule["InOrder"](), rule["numbered"]
    as_they_came: dict[str, list[int]] = {account: [] for account in mine}
    passed_on: dict[str, list[tuple[int, dict[str, Any]]]] = {account: [] for account in mine}
    # Each partition is read to its end before the next; and some of it again, as after a fault.
    for records in partitions.records.values():
        for event_type, data in [*records, *records[:5]]:
            for account, number in numbered(event_type, data):
                if account in mine:
                    as_they_came[account].append(number)
            for account, number, event in in_order.take(event_type, data):
                if account in mine:
                    passed_on[account].append((number, event))

    assert as_they_came[shop] != sorted(as_they_came[shop]), "nothing came out of order, so nothing is shown"
    for account in mine:
        numbers = [number for number, _ in passed_on[account]]
        assert numbers == list(range(len(numbers))), account
        balance, sequence = await alice.balance(account), numbers[-1]
        answer = (await alice.get(f"/accounts/{account}/balance")).json()
        assert sequence == answer["sequence"]
        assert sum((moved(event, account) for _, event in passed_on[account]), Decimal(0)) == Decimal(balance)
    changes = [event["change"] for _, event in passed_on[shop] if "change" in event]
    assert changes == ["opened", "frozen", "unfrozen"]


def moved(event: dict[str, Any], account: str) -> Decimal:
    """What an event moved on the account."""
    if "amount" not in event:
        return Decimal(0)
    amount = Decimal(event["amount"]["amount"])
    return -amount if event.get("sender", {}).get("account_id") == account else amount
