"""Collections and indexes of the banking database.

accounts   one document per account: who owns it, what it is, whether money may move on it. `balance` and
           `sequence` are as of the last time they were written down, and may lag behind the journal, never
           run ahead of it.
journal    one document per transaction, entries inside, and one per change of an account. The unique index
           over account and sequence is what guards money: whoever decided on an account that has changed
           since finds the number taken (docs/adr/0011). In it a failed attempt stands behind the entry it
           met, told apart by `attempt`.
outbox     events committed and not yet published (daemons.shared.outbox).
fundings_alone  what each person has funded alone on a day, per currency
           (daemons.banking_api.storage.mongo_fundings_alone).
turns      whose turn it is where several processes post, and notes of the last turns
           (daemons.banking_api.storage.ledger_turns).
owners     per user how many accounts they have ever opened.
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
    # Sparse: changes of accounts have no idempotency key, and attempts on nobody's account no history.
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
    IndexModel(
        [("owner", ASCENDING), ("idempotency_key", ASCENDING)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$exists": True}},
        name="opened_once",
    ),
]
_FUNDINGS_ALONE = [IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0, name="sweep")]


async def ensure_schema(database: Database) -> None:
    """Create what is missing. Collections too: a transaction should not have to."""
    existing = set(await database.list_collection_names())
    for name in {
        "accounts",
        "journal",
        "outbox",
        "owners",
        "turns",
        "fundings_alone",
        "lost_events",
    } - existing:
        await database.create_collection(name, check_exists=False)
    await database["journal"].create_indexes(_JOURNAL)
    await database["accounts"].create_indexes(_ACCOUNTS)
    await database["fundings_alone"].create_indexes(_FUNDINGS_ALONE)


async def ensure_bank_id(database: Database) -> UUID:
    """Return the id that this bank has for good; the first process over a database makes it."""
    with suppress(DuplicateKeyError):  # another process was quicker
        await database[_BANK].update_one({"_id": _BANK}, {"$setOnInsert": {"bank_id": new_id()}}, upsert=True)
    document = await database[_BANK].find_one({"_id": _BANK})
    if document is None:
        raise LookupError("the bank's id was removed from its database")
    bank_id: UUID = document["bank_id"]
    return bank_id
