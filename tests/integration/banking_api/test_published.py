"""An older copy of the database is served: what Kafka holds shows it, and nothing is published over it."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

from daemons.banking_api.books.origins import EventOrigins
from daemons.banking_api.books.published import PublishedEvents
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.mongo import Database, Document
from tests.support.bank import Bank, Person, people, running_bank
from tests.support.waiting import eventually

_STATE = ("accounts", "journal", "positions")
OLDER = "an older copy of the database is served"

Copy = dict[str, list[Document]]


async def copy_of(database: Database) -> Copy:
    return {name: await database[name].find().to_list() for name in _STATE}


async def restore(database: Database, copy: Copy) -> None:
    for name, documents in copy.items():
        await database[name].delete_many({})
        if documents:
            await database[name].insert_many(documents)


def at(bank: Bank, person: Person) -> Person:
    """The same person at daemons that were started anew."""
    return replace(person, http=bank.http, user_api=bank.user_api, banking_api=bank.banking_api)


async def outbox(person: Person) -> dict[str, Any]:
    shown: dict[str, Any] = (await person.get("/ledger/outbox")).json()
    return shown


async def notice(person: Person) -> str:
    ready = await person.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    return str(ready.json().get("notices", {}).get("events", ""))


async def all_is_told(staff: Person) -> bool:
    return bool((await outbox(staff))["pending_events"] == 0)


async def is_noticed(staff: Person) -> bool:
    return OLDER in await notice(staff)


async def nothing_is_noticed(staff: Person) -> bool:
    return not await notice(staff)


async def test_an_older_copy_is_noticed_as_long_as_it_is_served(mongo_uri: str, kafka_broker: str) -> None:
    async with running_bank(mongo_uri, kafka_broker=kafka_broker) as bank:
        alice, _, olga, sender, receiver = await people(bank)
        await eventually(lambda: all_is_told(olga))
        older = await copy_of(bank.ledger)
        paid = {(await alice.transfer(sender, receiver, "1.00")).json()["id"] for _ in range(3)}
        await alice.open_account()
        await eventually(lambda: all_is_told(olga))
        suffix = bank.suffix

    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        # The true database after an orderly restart: what goes out shows that it was compared.
        operator = at(bank, olga)
        assert (await at(bank, alice).transfer(sender, receiver, "1.00")).status_code == 201
        await eventually(lambda: all_is_told(operator))
        assert (await outbox(operator))["unknown_events"] == []
        assert await notice(operator) == ""
    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        newest = await copy_of(bank.ledger)
        await restore(bank.ledger, older)

    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        operator = at(bank, olga)
        assert (await at(bank, alice).transfer(sender, receiver, "2.00")).status_code == 201
        await eventually(lambda: is_noticed(operator))
        shown = await outbox(operator)
        assert shown["pending_events"] == 1
        assert OLDER in shown["relay"]["failure"]
        assert {event["event_id"] for event in shown["unknown_events"]} >= paid
        assert len(shown["unknown_events"]) == len(paid) + 2
        assert {event["type"] for event in shown["unknown_events"]} == {
            "TransactionCompleted",
            "AccountChanged",
        }
        metrics = (await operator.get("/metrics")).text
        assert f"bankctl_relay_unknown_events {len(paid) + 2:.1f}" in metrics
    await _serve_and_expect_agreement(mongo_uri, kafka_broker, suffix, newest, olga)


async def _serve_and_expect_agreement(
    mongo_uri: str, kafka_broker: str, suffix: str, newest: Copy, olga: Person
) -> None:
    async with running_bank(mongo_uri, kafka_broker="127.0.0.1:9", suffix=suffix) as bank:
        ledger = bank.ledger
        await restore(ledger, newest)
    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        operator = at(bank, olga)
        await operator.open_account()
        await eventually(lambda: all_is_told(operator))
        assert await notice(operator) == ""


async def test_nothing_is_published_until_the_lost_events_are_given_up(
    mongo_uri: str, kafka_broker: str
) -> None:
    async with running_bank(mongo_uri, kafka_broker=kafka_broker) as bank:
        alice, _, olga, sender, receiver = await people(bank)
        await eventually(lambda: all_is_told(olga))
        older = await copy_of(bank.ledger)
        lost = (await alice.transfer(sender, receiver, "1.00")).json()["id"]
        await eventually(lambda: all_is_told(olga))
        suffix = bank.suffix
    async with running_bank(mongo_uri, kafka_broker="127.0.0.1:9", suffix=suffix) as bank:
        await restore(bank.ledger, older)

    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        operator, customer = at(bank, olga), at(bank, alice)
        later = (await customer.transfer(sender, receiver, "2.00")).json()["id"]
        await eventually(lambda: is_noticed(operator))
        assert (await outbox(operator))["pending_events"] == 1
        request = {"event_ids": [lost, later, str(uuid4())], "reason": "restored from a backup"}
        assert (await customer.post("/ledger/events/give-up", request)).status_code == 403
        assert await is_noticed(operator)
        given_up = await operator.post("/ledger/events/give-up", request)
        # What the database knows is not lost.
        assert lost in given_up.json()["given_up"]
        assert later not in given_up.json()["given_up"]
        await eventually(lambda: nothing_is_noticed(operator))
        await eventually(lambda: all_is_told(operator))
        again = await operator.post("/ledger/events/give-up", request)
        assert again.json() == {"given_up": []}
        acts = (await operator.get("/audit/ledger?action=give_up_events")).json()["items"]
        assert [act["reason"] for act in acts] == ["restored from a backup"]

    async with running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=suffix) as bank:
        operator = at(bank, olga)
        await operator.open_account()
        await eventually(lambda: all_is_told(operator))
        assert await notice(operator) == ""


async def test_no_alarm_while_events_are_committed_and_published(mongo_uri: str, kafka_broker: str) -> None:
    """What is committed and published while the two are read must not be taken for unknown."""
    async with running_bank(mongo_uri, kafka_broker=kafka_broker) as bank:
        alice, _, olga, sender, receiver = await people(bank)
        bank_id = (await bank.ledger["bank"].find_one({}) or {})["bank_id"]
        audit = MongoAuditTrail(bank.ledger, chain="banking_api")
        published = PublishedEvents(
            KafkaCluster(kafka_broker),
            EventOrigins(bank.ledger),
            bank.client,
            audit,
            bank_id=bank_id,
            clock=utc_now,
        )

        async def confirm() -> None:
            return

        async def pay() -> None:
            for _ in range(25):
                assert (await alice.transfer(sender, receiver, "0.01")).status_code == 201
                assert (await alice.transfer(sender, receiver, "999.00")).status_code == 422
            await alice.open_account()

        async with asyncio.TaskGroup() as group:
            paying = [group.create_task(pay()) for _ in range(2)]
            looks = 0
            while not all(task.done() for task in paying) or looks < 3:
                agreement = await published.compare(confirm)
                assert (agreement.may_publish, agreement.notice) == (True, None)
                looks += 1
        await eventually(lambda: all_is_told(olga))
        # The same look does find what is taken away.
        journal = bank.ledger["journal"]
        [last] = await journal.find({"kind": "transfer"}).sort("_id", -1).limit(1).to_list()
        await journal.delete_one({"_id": last["_id"]})
        agreement = await published.compare(confirm)
        assert not agreement.may_publish
        assert [event.id for event in published.unknown] == [last["_id"]]
