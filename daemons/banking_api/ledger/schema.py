"""Collections and indexes of the banking database.

journal    the ledger: one document per record, entries inside, and one per seal, its number as `_id`. The
           unique numbers are what guards money: of the seals, and of the entries of each account. Whoever
           decided on anything but the newest state finds the number taken (docs/adr/0011). In an account's
           history a failed attempt stands behind the entry that it met, told apart by `attempt`.
accounts   a cache of what the journal says: the terms of each account, and its balance and number as of the
           last time they were written down. `bankctl admin rebuild-accounts` rebuilds it.
leases     which process is the ledger (`lease`).
positions  up to which seal each topic's events are published (`relay`).
checkpoints  what was signed of the journal, one document each, never changed (`books/checkpoints`).
proven_states  all accounts where the last proofs ended, vouched for by checkpoints (`books/proven_states`).
lost_events  ids of events that were published by a later state of this database, and given up.
bank       one document: the bank's id, made with the database and never changed.
"""

from contextlib import suppress
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from daemons.shared.ids import new_id
from daemons.shared.mongo import Database

_BANK = "bank"

HISTORY_INDEX = "account_history"
HISTORY_FIELDS = ("entries.account", "entries.sequence", "entries.attempt")

_JOURNAL = [
    # Sparse: seals have no idempotency key, and attempts on nobody's account no history.
    IndexModel([("idem", ASCENDING)], unique=True, sparse=True, name="idempotency"),
    IndexModel(
        list(zip(HISTORY_FIELDS, (ASCENDING, DESCENDING, DESCENDING), strict=True)),
        unique=True,
        sparse=True,
        name=HISTORY_INDEX,
    ),
    IndexModel([("initiator", ASCENDING), ("_id", DESCENDING)], name="by_initiator"),
]
_ACCOUNTS = [
    IndexModel([("owner", ASCENDING), ("opened_at", DESCENDING), ("_id", DESCENDING)], name="by_owner"),
    IndexModel([("opened_at", DESCENDING), ("_id", DESCENDING)], name="by_age"),
]
_CHECKPOINTS = [IndexModel([("number", ASCENDING)], unique=True, name="by_number")]


async def ensure_schema(database: Database) -> None:
    """Create what is missing. Collections too: a transaction should not have to."""
    existing = set(await database.list_collection_names())
    for name in {
        "accounts",
        "journal",
        "leases",
        "positions",
        "lost_events",
        "checkpoints",
        "proven_states",
    } - existing:
        await database.create_collection(name, check_exists=False)
    await database["journal"].create_indexes(_JOURNAL)
    await database["accounts"].create_indexes(_ACCOUNTS)
    await database["checkpoints"].create_indexes(_CHECKPOINTS)


async def ensure_bank_id(database: Database) -> UUID:
    """Return the id that this bank has for good; the first process over a database makes it."""
    with suppress(DuplicateKeyError):  # another process was quicker
        await database[_BANK].update_one({"_id": _BANK}, {"$setOnInsert": {"bank_id": new_id()}}, upsert=True)
    document = await database[_BANK].find_one({"_id": _BANK})
    if document is None:
        raise LookupError("the bank's id was removed from its database")
    bank_id: UUID = document["bank_id"]
    return bank_id
