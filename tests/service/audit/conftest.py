from collections.abc import AsyncIterator

import pytest

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import genesis
from daemons.shared.mongo import Database
from tests.support.bank import CLOSED_PORT, Bank, running_bank
from tests.support.chains import Chain, events_chain, ledger_chain
from tests.support.notifier import Notifier
from tests.support.user_api import UserApi, running_user_api


@pytest.fixture
async def user_api(mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """A daemon whose trail no other test writes to."""
    async with running_user_api(mongo_uri, database_name) as api:
        yield api


@pytest.fixture(scope="module")
async def lone_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank whose trail the tests of other modules do not write to."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        yield bank


@pytest.fixture
async def own_bank(lone_bank: Bank) -> Bank:
    """That bank with an empty trail."""
    first = genesis("banking_api")
    await lone_bank.ledger["audit"].delete_many({})
    await lone_bank.ledger["audit_head"].update_one(
        {"_id": "head"}, {"$set": {"count": first.count, "hash": first.hash}}, upsert=True
    )
    return lone_bank


@pytest.fixture(params=["ledger", "events"])
async def chain(
    request: pytest.FixtureRequest, own_bank: Bank, notifier: Notifier, notifier_database: Database
) -> Chain:
    """Each of two daemons' empty trails; user_api's is spoiled among its security events."""
    if request.param == "ledger":
        return await ledger_chain(own_bank)
    return events_chain(notifier.as_role(Role.OPERATOR), notifier_database)
