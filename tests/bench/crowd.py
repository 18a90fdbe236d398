"""Thousands of users with a session each, written to the database: to sign them all in takes many minutes."""

from datetime import timedelta
from uuid import UUID

from daemons.contracts.names import SESSION_COOKIE
from daemons.contracts.permissions import Role
from daemons.shared.auth.keys import session_signing_key
from daemons.shared.auth.session_tokens import SessionSigner
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from daemons.user_api.schema import SESSIONS, USERS
from daemons.user_api.sessions import storage as mongo_sessions
from daemons.user_api.sessions.session import Session
from daemons.user_api.users import storage as mongo_users
from daemons.user_api.users.user import User

_LIFETIME = timedelta(hours=12)


async def sign_in_crowd(database: Database, count: int, *, secret: str) -> dict[UUID, str]:
    """Write so many users and sessions as user_api does; return each user's cookie."""
    signer, now = SessionSigner(session_signing_key(secret)), utc_now()
    users = [
        User(
            id=new_id(),
            email=f"crowd-{number}@example.com",
            display_name="Payer",
            role=Role.USER,
            locked=False,
            created_at=now,
            password_hash="none",
            version=1,
        )
        for number in range(count)
    ]
    sessions = [
        Session(
            id=new_id(),
            user_id=user.id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + _LIFETIME,
            address="127.0.0.1",
            device="bench",
        )
        for user in users
    ]
    await database[USERS].insert_many(map(mongo_users._to_document, users))
    await database[SESSIONS].insert_many(map(mongo_sessions._to_document, sessions))
    # One token for the whole run: its signature is verified once, where a client's is every ten minutes.
    return {one.user_id: f"{SESSION_COOKIE}={_token(signer, one)}" for one in sessions}


def _token(signer: SessionSigner, session: Session) -> str:
    return signer.sign(
        user_id=session.user_id,
        session_id=session.id,
        issued_at=session.created_at,
        expires_at=session.expires_at,
    )
