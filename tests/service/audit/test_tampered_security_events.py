"""What was tampered with among security events is found: by the chain, or by an anchor kept elsewhere."""

from collections.abc import Awaitable, Callable
from typing import Any

import pymongo
import pytest

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import hash_of
from tests.support.user_api import new_email, running_user_api
from tests.support.user_audit import Record, login, proof, trail

WRONG = "wrong words"
Tamper = Callable[[Any, Any], Awaitable[Any] | None]


def _set(seq: int, **fields: Any) -> Tamper:
    return lambda audit, _: audit.update_one({"_id": seq}, {"$set": fields}) and None


def _rechain(audit: Any, heads: Any) -> None:
    """Write the chain anew without its third record, head included, as whoever holds the database can."""
    kept = [record for record in audit.find().sort("_id") if record["_id"] != 3]
    previous = kept[0]["previous_hash"]
    audit.delete_many({})
    for seq, record in enumerate(kept, 1):
        fields = {"seq": seq, **record, "previous_hash": previous}
        del fields["_id"]
        previous = fields["hash"] = hash_of(fields)
        audit.insert_one({"_id": seq, **{name: value for name, value in fields.items() if name != "seq"}})
    heads.update_one({}, {"$set": {"count": len(kept), "hash": previous}})


def _cut_with_head(audit: Any, heads: Any) -> None:
    last = audit.find_one({"_id": 5})
    audit.delete_many({"_id": {"$gt": 5}})
    heads.update_one({}, {"$set": {"count": 5, "hash": last["hash"]}})


@pytest.mark.parametrize(
    ("tamper", "problem", "by_anchor_alone"),
    [
        (_set(4, address="192.0.2.2"), "was changed", False),
        (_set(4, reason="invalid_totp"), "was changed", False),
        (_set(4, **{"after.account.failures": 2}), "was changed", False),
        (_set(3, **{"after.device": "x"}), "was changed", False),
        (lambda audit, _: audit.delete_one({"_id": 4}), "record 4 is missing", False),
        (lambda audit, _: audit.delete_many({"_id": {"$gt": 5}}), "the head counts", False),
        # The user whose registration is cut off is told of by no record.
        (_cut_with_head, "the trail ends before record", False),
        (_rechain, "the trail ends before record", True),
    ],
)
async def test_what_was_tampered_with_is_found_among_security_events_too(
    mongo_uri: str, database_name: str, tamper: Tamper, problem: str, *, by_anchor_alone: bool
) -> None:
    async with running_user_api(mongo_uri, database_name) as api:
        reader = await api.person(Role.SUPPORT)
        await login(api, reader.email, WRONG)
        await login(api, reader.email)
        await login(api, new_email(), WRONG)
        await api.register()
        anchored = await proof(api, reader)
        assert (anchored["holds"], anchored["head"]["count"]) == (True, len(trail(api)))
        assert [record["action"] for record in trail(api)][2:5] == ["sign_in", "sign_in.refused", "sign_in"]
        with pymongo.MongoClient[Record](mongo_uri, uuidRepresentation="standard") as client:
            database = client[database_name]
            tamper(database["audit"], database["audit_head"])
        found = await proof(api, reader)
        assert found["holds"] is by_anchor_alone
        faults = (await proof(api, reader, anchored["head"]))["faults"]
        assert any(problem in fault["problem"] for fault in faults), faults
