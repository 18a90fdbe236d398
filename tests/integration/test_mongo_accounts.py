"""Each daemon's own account at MongoDB: it does the daemon's work, and cannot change or remove evidence."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo.errors import OperationFailure

from bankctl.files import write_private
from bankctl.local import ports
from bankctl.local.mongod import ADMINISTRATOR, find_mongod, mongod_command, uri
from daemons.contracts.mongo_accounts import CHANGED, INSERT_ONLY, privileges
from daemons.notifier import schema as notifier_schema
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.mongo import connect
from daemons.shared.mongo_admin import initiate
from tests.support.bank import CLOSED_PORT, PASSWORD, people, running_bank
from tests.support.ending import stop
from tests.support.events import incoming
from tests.support.notifier import recorder_on

REPOSITORY = Path(__file__).parents[2]
SECRET = "a-password-of-the-tests"
NOT_AUTHORIZED = 13


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a mongod that asks for credentials, with the accounts of the local stack."""
    folder = tmp_path_factory.mktemp("accounts")
    [port] = ports.pick(1)
    data, key_file, mongod = folder / "data", folder / "keyfile", str(find_mongod())
    accounts = dict.fromkeys((ADMINISTRATOR, *CHANGED), SECRET)
    made = subprocess.run(
        [sys.executable, "-m", "bankctl.local.mongod_accounts", mongod, str(data)],
        env={**os.environ, "ACCOUNTS": json.dumps(accounts)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    write_private(key_file, b"c29tZSBrZXkgb2YgdGhlIHRlc3Rz")
    command = [*mongod_command(mongod, data, port), "--keyFile", str(key_file)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        initiate(uri(port, ADMINISTRATOR, SECRET), timeout_seconds=60)
        yield port
    finally:
        stop(process, patience_seconds=20)


async def test_the_daemons_work_goes_on_and_evidence_stays(port: int) -> None:
    def its(daemon: str) -> dict[str, Any]:
        return {"mongo_uri": uri(port, daemon, SECRET), "mongo_database": daemon}

    async with running_bank(
        uri(port, ADMINISTRATOR, SECRET),
        kafka_broker=CLOSED_PORT,
        banking=its("banking_api"),
        users=its("user_api"),
    ) as bank:
        alice, bob, olga, sender, receiver = await people(bank)
        omar = await bank.person("Omar", "operator")
        assert (await alice.transfer(sender, receiver, "3.00")).status_code == 201
        assert (await olga.patch(f"/accounts/{sender}/freeze", {"reason": "stolen"})).status_code == 200
        body = {"direction": "debit", "amount": "1.00", "currency": "EUR", "reason": "booked twice"}
        asked = await olga.post(f"/accounts/{receiver}/adjust", body, key=str(uuid4()))
        approved = await omar.call("POST", f"/approvals/ledger/{asked.json()['id']}/approve")
        assert approved.status_code == 200, approved.text
        key = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
        assert (await bob.post("/auth/tokens", key)).status_code == 201
        assert (await olga.post("/ledger/accounts/rebuild", {"reason": "for a test"})).status_code == 200
        for path in ("/ledger/proof", "/audit/ledger/proof", "/audit/users/proof"):
            assert (await olga.get(path)).json()["holds"] is True, path
    for daemon in ("banking_api", "user_api"):
        await _assert_evidence_stays(port, daemon)


async def test_the_notifier_records_events_and_its_audit_stays(port: int) -> None:
    async with connect(uri(port, "notifier", SECRET), daemon="notifier") as client:
        database = client["notifier"]
        await notifier_schema.ensure_schema(database)
        await MongoAuditTrail(database, chain="notifier").prepare()
        await recorder_on(database).record_events(incoming(5))
        assert await database["events"].count_documents({}) == 5
        await database["audit"].insert_one({"_id": 1})
    await _assert_evidence_stays(port, "notifier")


async def _assert_evidence_stays(port: int, daemon: str) -> None:
    async with connect(uri(port, daemon, SECRET), daemon=daemon) as client:
        database = client[daemon]
        assert await database["audit"].find_one({}) is not None
        for name in INSERT_ONLY:
            collection = database[name]
            for refused in (
                collection.update_one({}, {"$set": {"at": None}}),
                collection.replace_one({}, {}),
                collection.find_one_and_update({}, {"$set": {"at": None}}),
                collection.delete_one({}),
                collection.drop(),
                collection.rename(f"{name}_away"),
                database["leases"].aggregate([{"$out": name}]),
                database.command("collMod", name, validator={"never": 1}),
            ):
                with pytest.raises(OperationFailure) as found:
                    await refused
                assert found.value.code == NOT_AUTHORIZED
        for other in CHANGED.keys() - {daemon}:
            with pytest.raises(OperationFailure):
                await client[other]["audit"].find_one({})


def test_the_stack_of_containers_has_the_same_rights() -> None:
    script = (REPOSITORY / "deploy" / "mongo-init.js").read_text(encoding="utf-8")
    table = re.search(r"const changed = (\{.*?\});", script, re.DOTALL)
    everywhere = re.search(r"const everywhere = (\[.*?)\s*,?\s*\];", script, re.DOTALL)
    assert table is not None
    assert everywhere is not None
    assert json.loads(table[1]) == {daemon: list(names) for daemon, names in CHANGED.items()}
    assert json.loads(everywhere[1] + "]") == privileges("notifier")[0]["actions"]
