"""The table of what somebody may change by hand in the databases, and which check of the proof names it."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bson import decode
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from daemons.banking_api.ledger.documents import BSON_OPTIONS, seal_document, seal_from, state_after
from daemons.banking_api.ledger.seal import GENESIS, seal
from daemons.shared.audit.record import Head, genesis, hash_of
from daemons.shared.mongo import Document
from tests.support.tampered import EVENTS, LEDGER, USERS, TamperedBank

Act = Callable[[TamperedBank], Awaitable[object]]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SOMEBODY = UUID("0190a1b2-0000-7000-8000-00000000dead")
_CHAINS = {LEDGER: "banking_api", USERS: "user_api", EVENTS: "notifier"}


@dataclass(frozen=True, slots=True)
class Tampering:
    """One row: what is done, the check that fails, and what its finding names (`{transfer}` and so on)."""

    name: str
    act: Act
    check: str
    named: str


# In the ledger's journal


def _record(which: str, **changes: object) -> Act:
    return _set(LEDGER, "journal", which, changes)


def _set(database: str, collection: str, which: str, changes: dict[str, object], field: str = "_id") -> Act:
    """Set fields of the document of this name; `__` stands for the dot of a path."""
    values = {name.replace("__", "."): value for name, value in changes.items()}

    async def act(bank: TamperedBank) -> None:
        query = {field: _id_of(bank, which)}
        changed = await bank.databases[database][collection].update_one(query, {"$set": values})
        assert changed.modified_count == 1

    return act


def _remove(database: str, collection: str, which: str, field: str = "_id") -> Act:
    async def act(bank: TamperedBank) -> None:
        removed = await bank.databases[database][collection].delete_many({field: _id_of(bank, which)})
        assert removed.deleted_count

    return act


def _id_of(bank: TamperedBank, which: str) -> Any:
    name = bank.names[which]
    return UUID(name) if isinstance(name, str) and "-" in name else name


def _add_like(database: str, collection: str, which: str, **changes: object) -> Act:
    """Add a copy of a document under another id."""

    async def act(bank: TamperedBank) -> None:
        found = await bank.databases[database][collection].find_one({"_id": _id_of(bank, which)})
        assert found is not None
        await bank.databases[database][collection].insert_one({**found, **changes})

    return act


def _in_turn(*acts: Act) -> Act:
    async def act(bank: TamperedBank) -> None:
        for one in acts:
            await one(bank)

    return act


async def _fund_out_of_nothing(bank: TamperedBank) -> None:
    """Entries, balances and numbers are right and sum to zero."""
    journal = bank.databases[LEDGER]["journal"]
    funding = await journal.find_one({"_id": _id_of(bank, "funding")})
    assert funding is not None
    entries = []
    for entry in funding["entries"]:
        [newest] = await (
            journal.find({"entries.account": entry["account"], "entries.attempt": {"$exists": False}})
            .sort("entries.sequence", -1)
            .limit(1)
            .to_list()
        )
        last = next(one for one in newest["entries"] if one["account"] == entry["account"])
        entries.append(
            {
                **entry,
                "balance": Int64(last["balance"] + entry["amount"]),
                "sequence": last["sequence"] + 1,
            }
        )
    forged = {**funding, "_id": SOMEBODY, "idem": b"forged" * 5, "entries": entries}
    await journal.insert_one(forged)


async def _swap_records_of_seals(bank: TamperedBank) -> None:
    journal = bank.databases[LEDGER]["journal"]
    second, third = [await journal.find_one({"_id": number}) for number in (2, 3)]
    assert second is not None
    assert third is not None
    await journal.update_one({"_id": 2}, {"$set": {"ids": third["ids"]}})
    await journal.update_one({"_id": 3}, {"$set": {"ids": second["ids"]}})


def _seal(**changes: object) -> Act:
    async def act(bank: TamperedBank) -> None:
        await bank.databases[LEDGER]["journal"].update_one({"_id": 2}, {"$set": changes})

    return act


async def _remove_seal(bank: TamperedBank) -> None:
    await bank.databases[LEDGER]["journal"].delete_one({"_id": 2})


async def _move_positions(bank: TamperedBank) -> None:
    beyond = {"seals": {"TransactionCompleted": Int64(10**6)}}
    await bank.databases[LEDGER]["positions"].update_one({"_id": "relay"}, {"$set": beyond}, upsert=True)


JOURNAL: Sequence[Tampering] = [
    Tampering("an entry's amount", _record("transfer", entries__0__amount=-1), "balances", "{transfer}"),
    Tampering("an entry's balance", _record("transfer", entries__0__balance=10**6), "balances", "{transfer}"),
    Tampering("an entry's number", _record("transfer", entries__0__sequence=77), "balances", "{transfer}"),
    Tampering(
        "an entry's account", _record("transfer", entries__1__account="4000000006"), "balances", "{transfer}"
    ),
    Tampering("an entry's owner", _record("transfer", entries__0__owner=SOMEBODY), "balances", "{transfer}"),
    Tampering("a record's amount", _record("transfer", data__amount=1), "balances", "{transfer}"),
    Tampering("a record's receiver", _record("transfer", data__to="4000000006"), "balances", "{transfer}"),
    Tampering("a record's sender", _record("transfer", data__from="4000000006"), "balances", "{transfer}"),
    Tampering("a record's currency", _record("transfer", data__currency="USD"), "balances", "{transfer}"),
    Tampering("a record's reference", _record("transfer", data__reference="rent"), "balances", "{transfer}"),
    Tampering("a record's initiator", _record("transfer", initiator=SOMEBODY), "balances", "{transfer}"),
    Tampering("a record's time", _record("transfer", at=LONG_AGO), "balances", "{transfer}"),
    Tampering("a record's kind", _record("transfer", kind="funding"), "balances", "{transfer}"),
    Tampering("a record's status", _record("transfer", status="failed"), "balances", "{transfer}"),
    Tampering("a record's key digest", _record("transfer", idem=b"x" * 16), "balances", "{transfer}"),
    Tampering(
        "a record's request digest", _record("transfer", fingerprint=b"x" * 16), "balances", "{transfer}"
    ),
    Tampering("a field added to a record", _record("transfer", note="harmless"), "balances", "{transfer}"),
    Tampering("a failure's code", _record("refused", failure__code="frozen"), "balances", "{refused}"),
    Tampering("a failure's sentence", _record("refused", failure__detail="no"), "balances", "{refused}"),
    Tampering("a failed record's amount", _record("refused", data__amount=1), "balances", "{refused}"),
    Tampering("a record removed", _remove(LEDGER, "journal", "transfer"), "balances", "{transfer}"),
    Tampering("the newest record removed", _remove(LEDGER, "journal", "newest"), "balances", "{newest}"),
    Tampering(
        "the newest record removed with its event and notification",
        _in_turn(
            _remove(LEDGER, "journal", "newest"),
            _remove(EVENTS, "events", "newest", "id"),
            _remove(EVENTS, "notifications", "newest", "event_id"),
        ),
        "balances",
        "{newest}",
    ),
    Tampering("a consistent funding added", _fund_out_of_nothing, "balances", str(SOMEBODY)),
    Tampering("records moved between seals", _swap_records_of_seals, "balances", "seal 2"),
    Tampering("a seal's root", _seal(root=b"x" * 32), "balances", "seal 2"),
    Tampering("a seal's predecessor", _seal(previous=b"x" * 32), "balances", "seal 2"),
    Tampering("a seal's time", _seal(at=LONG_AGO), "balances", "seal 2"),
    Tampering("a seal's hash", _seal(hash=b"x" * 32), "balances", "seal 2"),
    Tampering("a seal's count of records", _seal(records=77), "balances", "seal 2"),
    Tampering("a seal's nodes", _seal(nodes=b"x" * 32), "balances", "seal 2"),
    Tampering("a seal removed", _remove_seal, "balances", "seal 3"),
    Tampering("a freeze's record removed", _remove(LEDGER, "journal", "freeze"), "balances", "{freeze}"),
    Tampering("the outbox's positions moved beyond the last seal", _move_positions, "balances", "positions"),
]


# In the journal and all that follows from it: only what was signed and kept shows it


async def _seal_anew(bank: TamperedBank) -> None:
    """Make every seal again over the records as they are stored now."""
    journal = bank.databases[LEDGER]["journal"]
    raw = journal.with_options(BSON_OPTIONS.with_options(document_class=RawBSONDocument))
    head = GENESIS
    for number in range(1, await journal.count_documents({"kind": "seal"}) + 1):
        found = await journal.find_one({"_id": number})
        assert found is not None
        stored, ids = seal_from(found)
        records: dict[UUID, bytes] = {}
        async for document in raw.find({"_id": {"$in": ids}}):
            records[decode(document.raw, BSON_OPTIONS)["_id"]] = document.raw
        made = seal([records[id_] for id_ in ids], head, at=stored.at)
        await journal.replace_one({"_id": number}, seal_document(made, ids))
        head = head.sealed(made)


async def _reword_everywhere(bank: TamperedBank) -> None:
    """Give a transfer another reference, in its record, its event and its notification."""
    name = bank.names["transfer"]
    await _record("transfer", data__reference="rent")(bank)
    await _event("transfer", data__reference="rent")(bank)
    notifications = bank.databases[EVENTS]["notifications"]
    told = await notifications.find_one({"event_id": UUID(name)})
    assert told is not None
    await notifications.update_one({"_id": told["_id"]}, {"$set": {"text": f'{told["text"]} ("rent")'}})


async def _cut_journal(bank: TamperedBank) -> None:
    """Remove the newest record with its seal and all that tells of it; its accounts are as before it."""
    journal = bank.databases[LEDGER]["journal"]
    newest = _id_of(bank, "newest")
    record = await journal.find_one_and_delete({"_id": newest})
    assert record is not None
    await journal.delete_one({"_id": record["seal"]})
    assert await journal.find_one({"_id": {"$gt": record["seal"]}}) is None
    for account in (entry["account"] for entry in record["entries"]):
        query = {"entries": {"$elemMatch": {"account": account, "attempt": {"$exists": False}}}}
        found = await journal.find(query).to_list()
        balance, number = max((state_after(one, account) for one in found), key=lambda state: state[1])
        written = {"balance": Int64(balance), "sequence": number}
        await bank.databases[LEDGER]["accounts"].update_one({"_id": account}, {"$set": written})
    await bank.databases[EVENTS]["events"].delete_one({"id": newest})
    await bank.databases[EVENTS]["notifications"].delete_one({"event_id": newest})


def _checkpoint(**changes: object) -> Act:
    return _set(LEDGER, "checkpoints", "checkpoint", changes, "number")


async def _edit_note(bank: TamperedBank) -> None:
    checkpoints = bank.databases[LEDGER]["checkpoints"]
    found = await checkpoints.find_one({"number": bank.names["checkpoint"]})
    assert found is not None
    await _checkpoint(note=found["note"].replace("records ", "records 1", 1))(bank)


async def _remove_checkpoints(bank: TamperedBank) -> None:
    await bank.databases[LEDGER]["checkpoints"].delete_many({})


async def _remove_checkpoint_before_newest(bank: TamperedBank) -> None:
    number = bank.names["checkpoint"] - 1
    assert (await bank.databases[LEDGER]["checkpoints"].delete_one({"number": number})).deleted_count


_SIGNED = "signed journal"
CHECKPOINTS: Sequence[Tampering] = [
    Tampering(
        "the journal and its seals rewritten whole, with event and notification",
        _in_turn(_reword_everywhere, _seal_anew),
        "balances",
        "checkpoint {checkpoint}: was signed of another journal",
    ),
    Tampering(
        "the journal rewritten so, and every checkpoint at the bank removed",
        _in_turn(_reword_everywhere, _seal_anew, _remove_checkpoints),
        _SIGNED,
        "there are two journals of",
    ),
    Tampering(
        "the newest record removed with its seal, event and notification",
        _cut_journal,
        "balances",
        "checkpoint {checkpoint}: covers",
    ),
    Tampering(
        "the newest record removed so, and every checkpoint at the bank",
        _in_turn(_cut_journal, _remove_checkpoints),
        _SIGNED,
        "were proven here",
    ),
    Tampering("a checkpoint's note", _edit_note, "balances", "checkpoint {checkpoint}: was changed"),
    Tampering(
        "a checkpoint's size",
        _checkpoint(size=1),
        "balances",
        "checkpoint {checkpoint}: is not what its note",
    ),
    Tampering(
        "a checkpoint's mark of a proof",
        _checkpoint(proved=False),
        "balances",
        "checkpoint {checkpoint}: is not what its note",
    ),
    Tampering(
        "a checkpoint removed",
        _remove_checkpoint_before_newest,
        "balances",
        "checkpoint {checkpoint}: follows",
    ),
    Tampering(
        "the newest checkpoint removed",
        _remove(LEDGER, "checkpoints", "checkpoint", "number"),
        _SIGNED,
        "the bank no longer has the checkpoint",
    ),
]


# In the ledger's accounts


def _account(which: str, **changes: object) -> Act:
    return _set(LEDGER, "accounts", which, changes)


async def _renumber(bank: TamperedBank) -> None:
    accounts = bank.databases[LEDGER]["accounts"]
    found = await accounts.find_one({"_id": bank.names["account"]})
    assert found is not None
    await accounts.insert_one({**found, "_id": "4000000006"})
    await accounts.delete_one({"_id": bank.names["account"]})


ACCOUNTS: Sequence[Tampering] = [
    Tampering("an account's owner", _account("account", owner=SOMEBODY), "balances", "{account}: its owner"),
    Tampering("an account's type", _account("account", type="savings"), "balances", "{account}: its type"),
    Tampering(
        "an account's status", _account("account", status="closed"), "balances", "{account}: its status"
    ),
    Tampering(
        "an account's currency", _account("account", currency="USD"), "balances", "{account}: its currency"
    ),
    Tampering("an account's name", _account("account", name="mine"), "balances", "{account}: its name"),
    Tampering("an account's balance", _account("account", balance=10**9), "balances", "{account}: balance"),
    Tampering("an account's number", _renumber, "balances", "4000000006: was opened 0 times"),
    Tampering("an account removed", _remove(LEDGER, "accounts", "account"), "balances", "{account}"),
    Tampering(
        "an account without entries removed", _remove(LEDGER, "accounts", "unused"), "balances", "{unused}"
    ),
    Tampering(
        "an account added",
        _add_like(LEDGER, "accounts", "unused", _id="4000000006"),
        "balances",
        "4000000006",
    ),
    Tampering("a freeze undone", _account("unused", status="active"), "balances", "{unused}: its status"),
]


# In the notifier


def _event(which: str, **changes: object) -> Act:
    return _set(EVENTS, "events", which, changes, "id")


def _notification(which: str, **changes: object) -> Act:
    return _set(EVENTS, "notifications", which, changes, "event_id")


_RECEIVED, _LOG = "events received", "event log"
NOTIFIER: Sequence[Tampering] = [
    Tampering("an event's amount", _event("transfer", data__amount__amount="1.00"), _RECEIVED, "{transfer}"),
    Tampering(
        "an event's account",
        _event("transfer", data__receiver__account_id="4000000006"),
        _RECEIVED,
        "{transfer}",
    ),
    Tampering(
        "an event's owner",
        _event("transfer", data__receiver__owner__user_id=str(SOMEBODY)),
        _RECEIVED,
        "{transfer}",
    ),
    Tampering(
        "an event's initiator",
        _event("transfer", data__initiated_by__user_id=str(SOMEBODY)),
        _RECEIVED,
        "{transfer}",
    ),
    Tampering("an event's reference", _event("transfer", data__reference="rent"), _RECEIVED, "{transfer}"),
    Tampering(
        "an event's currency", _event("transfer", data__amount__currency="USD"), _RECEIVED, "{transfer}"
    ),
    Tampering("an event's number", _event("transfer", data__sender__sequence=77), _RECEIVED, "{transfer}"),
    Tampering("an event's key", _event("transfer", key="4000000006"), _RECEIVED, "{transfer}"),
    Tampering("an event's time", _event("transfer", time=LONG_AGO), _RECEIVED, "{transfer}"),
    Tampering("an event's source", _event("transfer", source="/elsewhere"), _RECEIVED, "{transfer}"),
    Tampering("an event's type", _event("transfer", type="AccountChanged"), _RECEIVED, "{transfer}"),
    Tampering("an event's failure", _event("refused", data__failure__code="frozen"), _RECEIVED, "{refused}"),
    Tampering("an account's event", _event("freeze", data__status="active"), _RECEIVED, "{freeze}"),
    Tampering("an event's id", _event("transfer", id=SOMEBODY), _RECEIVED, "{transfer}"),
    Tampering(
        "a name in an event",
        _event("transfer", data__receiver__owner__display_name="Eve"),
        _LOG,
        "{transfer}",
    ),
    Tampering("an event's severity", _event("refused", severity="info"), _LOG, "{refused}"),
    Tampering("an event's accounts", _event("transfer", account_ids=["4000000006"]), _LOG, "{transfer}"),
    Tampering("an event removed", _remove(EVENTS, "events", "transfer", "id"), _RECEIVED, "{transfer}"),
    Tampering(
        "an event removed with its notification",
        _in_turn(
            _remove(EVENTS, "events", "transfer", "id"),
            _remove(EVENTS, "notifications", "transfer", "event_id"),
        ),
        _RECEIVED,
        "{transfer}",
    ),
    Tampering("a notification's text", _notification("transfer", text="Nothing."), _LOG, "{transfer}"),
    Tampering("a notification's severity", _notification("refused", severity="info"), _LOG, "{refused}"),
    Tampering(
        "a notification's recipient", _notification("transfer", recipient="nobody"), _LOG, "{transfer}"
    ),
    Tampering("a notification's time", _notification("transfer", created_at=LONG_AGO), _LOG, "{transfer}"),
    Tampering(
        "a notification removed", _remove(EVENTS, "notifications", "transfer", "event_id"), _LOG, "{transfer}"
    ),
]


# Behind the audit


def _approval(which: str, **changes: object) -> Act:
    return _set(LEDGER, "approvals", which, changes)


def _user(which: str, **changes: object) -> Act:
    return _set(USERS, "users", which, changes)


async def _lock(bank: TamperedBank) -> None:
    """Let the bank itself write the user anew, with a record."""
    await bank.lock("alice")


_OF_LEDGER, _OF_USERS = "audit of ledger", "audit of users"
GUARDED: Sequence[Tampering] = [
    Tampering(
        "an approval's amount",
        _approval("pending", parameters__amount="9000.00"),
        _OF_LEDGER,
        "approval {pending}",
    ),
    Tampering(
        "an approval's target",
        _approval("pending", target__id="4000000006"),
        _OF_LEDGER,
        "approval {pending}",
    ),
    Tampering(
        "an approval's requester",
        _approval("approved", requester_id=SOMEBODY),
        _OF_LEDGER,
        "approval {approved}",
    ),
    Tampering(
        "an approval's reason", _approval("approved", reason="another"), _OF_LEDGER, "approval {approved}"
    ),
    Tampering(
        "an approval's expiry", _approval("pending", expires_at=LONG_AGO), _OF_LEDGER, "approval {pending}"
    ),
    Tampering(
        "an approval's status", _approval("rejected", status="approved"), _OF_LEDGER, "approval {rejected}"
    ),
    Tampering(
        "an approval's decision",
        _approval("approved", decision__by__display_name="Eve"),
        _OF_LEDGER,
        "approval {approved}",
    ),
    Tampering(
        "an approval removed", _remove(LEDGER, "approvals", "approved"), _OF_LEDGER, "approval {approved}"
    ),
    Tampering(
        "an approval added",
        _add_like(LEDGER, "approvals", "approved", _id=SOMEBODY, idempotency_key="other"),
        _OF_LEDGER,
        f"approval {SOMEBODY}",
    ),
    Tampering("a user's role", _user("alice", role="admin"), _OF_USERS, "user {alice}"),
    Tampering(
        "a user's role, and the user changed by the bank since",
        _in_turn(_user("alice", role="operator"), _lock),
        _OF_USERS,
        "found user {alice} otherwise",
    ),
    Tampering("a user's lock", _user("alice", locked=True), _OF_USERS, "user {alice}"),
    Tampering(
        "a user's password hash", _user("alice", password_hash="$argon2id$forged"), _OF_USERS, "user {alice}"
    ),
    Tampering("a user's address", _user("alice", email="eve@example.com"), _OF_USERS, "user {alice}"),
    Tampering("a user's name", _user("alice", display_name="Eve"), _OF_USERS, "user {alice}"),
    Tampering("a user's mark of a second factor", _user("bob", second_factor=False), _OF_USERS, "user {bob}"),
    Tampering("a user removed", _remove(USERS, "users", "alice"), _OF_USERS, "user {alice}"),
    Tampering(
        "a user added",
        _add_like(USERS, "users", "olga", _id=SOMEBODY, email="eve@example.com"),
        _OF_USERS,
        f"user {SOMEBODY}",
    ),
    Tampering(
        "a second factor's secret",
        _set(USERS, "second_factors", "bob", {"sealed_secret": b"x" * 60}),
        _OF_USERS,
        "second_factor {bob}",
    ),
    Tampering(
        "a second factor's recovery codes",
        _set(USERS, "second_factors", "bob", {"recovery_digests": [b"x" * 32]}),
        _OF_USERS,
        "second_factor {bob}",
    ),
    Tampering(
        "a second factor removed", _remove(USERS, "second_factors", "bob"), _OF_USERS, "second_factor {bob}"
    ),
    Tampering(
        "an API key's scopes",
        _set(USERS, "api_keys", "api_key", {"scopes": ["manage_users"]}),
        _OF_USERS,
        "api_key {api_key}",
    ),
    Tampering(
        "an API key's expiry",
        _set(USERS, "api_keys", "api_key", {"expires_at": datetime.now(UTC) + timedelta(days=4000)}),
        _OF_USERS,
        "api_key {api_key}",
    ),
    Tampering(
        "an API key added",
        _add_like(USERS, "api_keys", "api_key", _id=SOMEBODY, digest="other"),
        _OF_USERS,
        f"api_key {SOMEBODY}",
    ),
]


# The audit trails


def _edit_audit(trail: str) -> Act:
    async def act(bank: TamperedBank) -> None:
        await bank.databases[trail]["audit"].update_one({"_id": 2}, {"$set": {"action": "nothing"}})

    return act


def _reorder_audit(trail: str) -> Act:
    async def act(bank: TamperedBank) -> None:
        records = bank.databases[trail]["audit"]
        first, second = [await records.find_one({"_id": number}) for number in (1, 2)]
        assert first is not None
        assert second is not None
        await records.delete_many({"_id": {"$in": [1, 2]}})
        await records.insert_many([{**second, "_id": 1}, {**first, "_id": 2}])

    return act


def _cut_audit(trail: str, *, with_head: bool) -> Act:
    async def act(bank: TamperedBank) -> None:
        database = bank.databases[trail]
        last = await database["audit"].find_one_and_delete({}, sort=[("_id", -1)])
        assert last is not None
        if with_head:
            head = {"count": last["_id"] - 1, "hash": last["previous_hash"]}
            await database["audit_head"].update_one({"_id": "head"}, {"$set": head})

    return act


def _rewrite_audit(trail: str) -> Act:
    """Leave a whole chain with its head, in which the second record says something else."""

    async def act(bank: TamperedBank) -> None:
        database = bank.databases[trail]
        head = genesis(_CHAINS[trail])
        async for document in database["audit"].find().sort("_id"):
            record: Document = {"seq": document.pop("_id"), **document}
            if record["seq"] == 2:
                record["action"] = "nothing"
            record["previous_hash"] = head.hash
            record["hash"] = hash_of(record)
            head = Head(record["seq"], record["hash"])
            stored = {"_id": record.pop("seq"), **record}
            await database["audit"].replace_one({"_id": stored["_id"]}, stored)
        await database["audit_head"].update_one({"_id": "head"}, {"$set": {"hash": head.hash}})

    return act


async def _remove_head(bank: TamperedBank) -> None:
    await bank.databases[USERS]["audit_head"].delete_one({})


def _of_each_trail(name: str, make: Callable[[str], Act], named: str) -> list[Tampering]:
    return [Tampering(f"{name} ({trail})", make(trail), f"audit of {trail}", named) for trail in _CHAINS]


AUDIT: Sequence[Tampering] = [
    *_of_each_trail("an audit record changed", _edit_audit, "record 2"),
    *_of_each_trail("audit records reordered", _reorder_audit, "record 1"),
    *_of_each_trail("the audit cut", lambda trail: _cut_audit(trail, with_head=False), "the head counts"),
    *_of_each_trail(
        "the audit cut and its head moved",
        lambda trail: _cut_audit(trail, with_head=True),
        "which was anchored",
    ),
    *_of_each_trail("the audit rewritten whole", _rewrite_audit, "than the one that was anchored"),
    Tampering("the audit's head removed", _remove_head, _OF_USERS, "the head is missing"),
]

TAMPERINGS: Sequence[Tampering] = [*JOURNAL, *CHECKPOINTS, *ACCOUNTS, *NOTIFIER, *GUARDED, *AUDIT]


_INTRODUCTION = """\
# Tamperings

Each of these is done by hand in the databases of a bank of all three daemons
(`tests/support/tamperings.py`), and `bankctl admin prove` fails with the check and names what is listed here.

- `audit of` compares a trail with the documents that change together with a record, and with the end of the
  trail that the last proof kept on this machine.
- `signed journal` compares what the bank signs now with the checkpoint that the last proof kept on this
  machine. It finds that the journal was rewritten together with the bank's own checkpoints. So does any other
  checkpoint that is kept outside (`bankctl verify`).
"""
_NOT_FOUND = """\
## Not found by a proof

- A record added at the journal's end by hand together with the next seal: seals are hashes and need no key.
  The bank itself publishes its event. An act of staff then lacks its record in the audit.
- Positions of the outbox that are moved back: events go out again under their old ids and have no further
  effect.
- A user's name in an event whose notification does not show it.
- Ids added to `lost_events`.
- Sessions and devices, which end by themselves.
- Fields that no rule reads, such as the time of the last sign-in.
"""


def page() -> str:
    """Return docs/tamperings.md; what is found by the same check stands together."""
    together: dict[tuple[str, str], list[str]] = {}
    for one in TAMPERINGS:
        together.setdefault((one.check, one.named.partition(":")[0]), []).append(one.name)
    rows = [
        f"| {'; '.join(names)} | {check} | {named.replace('{', '').replace('}', '')} |"
        for (check, named), names in together.items()
    ]
    table = "\n".join(["| changed by hand | failed check | the finding names |", "|---|---|---|", *rows])
    return f"{_INTRODUCTION}\n{table}\n\n{_NOT_FOUND}"


if __name__ == "__main__":
    sys.stdout.write(page())
