"""Who is the ledger, by the database's clock, and what the one that takes over ends of the one before."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from daemons.banking_api.app import DAEMON
from daemons.banking_api.ledger import lease as ledger_lease
from daemons.banking_api.ledger.lease import Lease
from daemons.shared import lease as lease_module
from daemons.shared.ids import new_id
from daemons.shared.mongo import Client, Database, application_name, connect, transaction_options
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[Database]:
    # What is left open is looked for by the name of the daemon: no other test's must be found.
    async with connect(mongo_uri, daemon=application_name(DAEMON, database_name)) as client:
        yield client[database_name]
        await client.drop_database(database_name)


def leases(database: Database) -> tuple[Lease, Lease]:
    return Lease(database, new_id()), Lease(database, new_id())


async def let_run_out(database: Database) -> None:
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    await database["leases"].update_one({"_id": "ledger"}, {"$set": {"until": long_ago}})


async def test_one_holds_it_until_it_has_run_out(database: Database) -> None:
    one, other = leases(database)
    assert await one.holder() is None
    first = await one.take("127.0.0.1:1")
    assert (first.id, first.address, first.took_over) == (one.id, "127.0.0.1:1", False)
    assert await other.take("127.0.0.1:2") == first
    assert (await one.take("127.0.0.1:1")).id == one.id
    await let_run_out(database)
    assert await one.holder() is None
    second = await other.take("127.0.0.1:2")
    assert (second.id, second.address, second.took_over) == (other.id, "127.0.0.1:2", True)
    assert await one.take("127.0.0.1:1") == second


async def test_it_runs_out_by_the_clock_of_the_database_and_is_renewed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = leases(database)
    await one.take("127.0.0.1:1")
    living = await one.holder()
    assert living is not None
    hello = await database.command("hello")
    left = (living.until - hello["localTime"].replace(tzinfo=UTC)).total_seconds()
    assert (living.id, 0 < left <= lease_module.LEASE_SECONDS) == (one.id, True)
    await one.take("127.0.0.1:1")
    renewed = await one.holder()
    assert renewed is not None
    assert renewed.until > living.until
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 0.0)
    await one.take("127.0.0.1:1")

    async def other_has_it() -> bool:
        return (await other.take("127.0.0.1:2")).id == other.id

    await eventually(other_has_it)


async def test_what_is_given_back_is_taken_over_from_nobody(database: Database) -> None:
    one, other = leases(database)
    await one.take("127.0.0.1:1")
    # Only its holder gives it back.
    await other.release()
    assert (await other.take("127.0.0.1:2")).id == one.id
    await one.release()
    second = await other.take("127.0.0.1:2")
    assert (second.id, second.took_over) == (other.id, False)


async def open_transaction(client: Client, database: Database, id_: int) -> Any:
    """Write something and leave it open."""
    session = client.start_session()
    await session.start_transaction(**transaction_options())
    await database["journal"].insert_one({"_id": id_}, session=session)
    return session


async def test_transactions_that_the_one_before_has_left_open_are_ended(
    database: Database, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.create_collection("journal")
    async with (
        connect(mongo_uri, daemon=application_name(DAEMON, database.name)) as killed,
        connect(mongo_uri, daemon=application_name(DAEMON, "another_bank")) as alien,
    ):
        left_open = await open_transaction(killed, killed[database.name], 1)
        of_another_bank = await open_transaction(alien, alien[database.name], 2)
        # It has been so for a moment only, as that of a process that is at work.
        await Lease(database, new_id()).end_what_was_left_open()
        await left_open.commit_transaction()
        left_open = await open_transaction(killed, killed[database.name], 3)
        monkeypatch.setattr(ledger_lease, "_LEFT_OPEN_SECONDS", 0)
        await Lease(database, new_id()).end_what_was_left_open()
        # Nothing holds the document any longer.
        await database["journal"].insert_one({"_id": 3})
        await of_another_bank.commit_transaction()
        await left_open.end_session()
        await of_another_bank.end_session()
    found = {document["_id"] async for document in database["journal"].find()}
    assert found == {1, 2, 3}
