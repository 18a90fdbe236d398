"""Collections and the indexes that the daemon's rules stand on."""

from pymongo.errors import PyMongoError

from daemons.shared.mongo import Database, unavailable

USERS = "users"
SESSIONS = "sessions"
REFRESH_TOKENS = "refresh_tokens"
ATTEMPTS = "sign_in_attempts"
SECOND_FACTORS = "second_factors"
API_KEYS = "api_keys"
DEVICES = "devices"
REGISTRATIONS = "refused_registrations"
ACCESS_CHANGES = "access_changes"
ACCESS_POSITION = "access_position"
OWED_MESSAGES = "owed_messages"
MAIL_REQUESTS = "mail_requests"
POSITION_ID = "access"
OWED_EVENTS = "owed_events"
OWED_EVENT_NUMBERS = "owed_event_numbers"
NUMBERS_ID = "events"


async def ensure_schema(database: Database) -> None:
    """Create the indexes and the counters; what is there already is left as it is.

    Raises:
        TransientError: the database does not answer.
    """
    try:
        await database[USERS].create_index("email", unique=True, name="email")
        await database[SESSIONS].create_index([("user_id", 1), ("_id", -1)], name="user")
        await database[API_KEYS].create_index("digest", unique=True, name="digest")
        await database[API_KEYS].create_index([("user_id", 1), ("_id", -1)], name="user")
        await database[DEVICES].create_index("user_id", name="user")
        await database[OWED_MESSAGES].create_index("next_try_at", name="due")
        # A day later, so that the sender says what it gives up.
        await database[OWED_MESSAGES].create_index("expires_at", expireAfterSeconds=86_400, name="expiry")
        await database[MAIL_REQUESTS].create_index([("email", 1), ("purpose", 1)], name="address")
        await database[MAIL_REQUESTS].create_index([("user_id", 1), ("purpose", 1)], name="user")
        # MongoDB sweeps once a minute; whether something lives is decided by its times, never by the sweep.
        for swept in (
            SESSIONS,
            REFRESH_TOKENS,
            ATTEMPTS,
            REGISTRATIONS,
            API_KEYS,
            DEVICES,
            ACCESS_CHANGES,
            MAIL_REQUESTS,
        ):
            await database[swept].create_index("expires_at", expireAfterSeconds=0, name="expiry")
        await database[ACCESS_POSITION].update_one(
            {"_id": POSITION_ID}, {"$setOnInsert": {"position": 0}}, upsert=True
        )
        await database[OWED_EVENT_NUMBERS].update_one(
            {"_id": NUMBERS_ID}, {"$setOnInsert": {"last": 0}}, upsert=True
        )
    except PyMongoError as error:
        raise unavailable(error) from error
