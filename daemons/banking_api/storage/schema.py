"""Collections and indexes of the banking database.

accounts   one document per account, balance and sequence included: every rule that guards money reads and
           writes this one document, because snapshot isolation lets through skew between two.
journal    one document per transaction, entries inside. `accounts` lists the accounts in whose history it
           stands; a failed one stands in its initiator's account's history only.
outbox     events committed and not yet published (daemons.shared.outbox).
"""

from pymongo import ASCENDING, DESCENDING, IndexModel

from daemons.shared.mongo import Database

_JOURNAL = [
    IndexModel([("idem", ASCENDING)], unique=True, name="idempotency"),
    IndexModel([("accounts", ASCENDING), ("_id", DESCENDING)], name="history"),
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


async def ensure_schema(database: Database) -> None:
    """Create what is missing. Collections too: a transaction should not have to."""
    existing = set(await database.list_collection_names())
    for name in {"accounts", "journal", "outbox"} - existing:
        await database.create_collection(name, check_exists=False)
    await database["journal"].create_indexes(_JOURNAL)
    await database["accounts"].create_indexes(_ACCOUNTS)
