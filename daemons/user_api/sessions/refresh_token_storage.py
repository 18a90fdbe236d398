"""Refresh tokens in MongoDB, as digests only; a TTL index sweeps them when their session could not live."""

from datetime import datetime

from daemons.shared.mongo import Database, Document
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import REFRESH_TOKENS
from daemons.user_api.sessions.refresh_token import RefreshToken


class MongoRefreshTokens:
    """The refresh tokens of all sessions, used ones too: that is how a reuse is seen."""

    def __init__(self, database: Database) -> None:
        self._tokens = database[REFRESH_TOKENS]

    async def find(self, digest: bytes) -> RefreshToken | None:
        """Return the token of this digest."""
        with unavailable_on_fault():
            document = await self._tokens.find_one({"_id": digest})
        return None if document is None else _token_of(document)

    async def exchange(self, token: RefreshToken, successor: bytes, now: datetime) -> bool:
        """Exchange the token for its successor; False if that has been done before.

        The successor is written first: it is the same for every caller, so a crash in between, or two
        requests at once, leave one line of tokens. The one write that marks the token used decides.
        """
        with unavailable_on_fault():
            await self._tokens.update_one(
                {"_id": successor}, {"$setOnInsert": _unused(token, successor)}, upsert=True
            )
            marked = await self._tokens.update_one(
                {"_id": token.digest, "used_at": None}, {"$set": {"used_at": now, "successor": successor}}
            )
        return marked.matched_count == 1


def to_document(token: RefreshToken) -> Document:
    """Return what is stored of a token."""
    return {
        "_id": token.digest,
        "session_id": token.session_id,
        "expires_at": token.expires_at,
        "used_at": token.used_at,
        "successor": token.successor,
    }


def _unused(token: RefreshToken, digest: bytes) -> Document:
    document = to_document(
        RefreshToken(digest=digest, session_id=token.session_id, expires_at=token.expires_at)
    )
    del document["_id"]
    return document


def _token_of(document: Document) -> RefreshToken:
    return RefreshToken(
        digest=document["_id"],
        session_id=document["session_id"],
        expires_at=document["expires_at"],
        used_at=document["used_at"],
        successor=document["successor"],
    )
