"""The indexes of the notifier's database; making them again changes nothing."""

import secrets

from pymongo import ASCENDING, DESCENDING, IndexModel

from daemons.shared.mongo import Database

INTAKE = "dead_letters"
DELIVERY_TURNS = "deliveries"
LINK_KEY = "unsubscribe"
_KEY_BYTES = 32

# An event's position is its _id, so the order of all events needs no index of its own.
_EVENTS = [
    IndexModel([("id", ASCENDING)], unique=True, name="one_record_per_event"),
    IndexModel([("type", ASCENDING), ("_id", ASCENDING)], name="by_type"),
    IndexModel([("account_ids", ASCENDING), ("_id", ASCENDING)], name="by_account"),
    IndexModel([("user_ids", ASCENDING), ("_id", ASCENDING)], name="by_user"),
    IndexModel([("magnitude", ASCENDING), ("_id", ASCENDING)], name="by_magnitude"),
]
_NOTIFICATIONS = [
    IndexModel(
        [("event_id", ASCENDING), ("channel", ASCENDING), ("recipient", ASCENDING)],
        unique=True,
        name="one_effect_per_event_channel_recipient",
    ),
    IndexModel([("position", DESCENDING), ("_id", DESCENDING)], name="newest_first"),
    IndexModel([("severity", ASCENDING), ("position", DESCENDING), ("_id", DESCENDING)], name="by_severity"),
]
_DEAD_LETTERS = [
    IndexModel(
        [("topic", ASCENDING), ("partition", ASCENDING), ("offset", ASCENDING), ("digest", ASCENDING)],
        unique=True,
        name="one_letter_per_place_and_content",
    ),
    IndexModel([("status", ASCENDING), ("_id", DESCENDING)], name="by_status"),
    IndexModel([("topic", ASCENDING), ("_id", DESCENDING)], name="by_topic"),
]
_UNSETTLED = {"due_at": {"$type": "date"}}
_DELIVERIES = [
    IndexModel(
        [
            ("cause_kind", ASCENDING),
            ("cause_id", ASCENDING),
            ("channel", ASCENDING),
            ("recipient", ASCENDING),
        ],
        unique=True,
        name="one_delivery_per_cause_channel_recipient",
    ),
    IndexModel([("turn", ASCENDING)], name="unsettled", partialFilterExpression=_UNSETTLED),
    IndexModel(
        [
            ("channel", ASCENDING),
            ("recipient", ASCENDING),
            ("is_urgent", ASCENDING),
            ("turn", ASCENDING),
        ],
        name="unsettled_by_lane",
        partialFilterExpression=_UNSETTLED,
    ),
    IndexModel([("turn", DESCENDING)], name="newest_first"),
    IndexModel([("state", ASCENDING), ("turn", DESCENDING)], name="by_state"),
    IndexModel([("recipient", ASCENDING), ("turn", DESCENDING)], name="by_recipient"),
]


async def ensure_schema(database: Database) -> None:
    """Make the indexes that are missing.

    Raises:
        PyMongoError: the database does not answer.
    """
    await database["events"].create_indexes(_EVENTS)
    await database["notifications"].create_indexes(_NOTIFICATIONS)
    await database["dead_letters"].create_indexes(_DEAD_LETTERS)
    await database["deliveries"].create_indexes(_DELIVERIES)
    await database["turns"].update_one({"_id": DELIVERY_TURNS}, {"$setOnInsert": {"last": 0}}, upsert=True)
    made = secrets.token_bytes(_KEY_BYTES)
    await database["keys"].update_one({"_id": LINK_KEY}, {"$setOnInsert": {"key": made}}, upsert=True)
