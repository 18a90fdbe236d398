"""What a proof leaves to the next one: the state of every account at the end that it signs (docs/adr/0035).

The documents are named by the digests of their contents, and the signed checkpoint has the first of these. So
a change by hand is noticed, and makes the next proof go through all of the journal.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

import bson
from bson.errors import BSONError
from pymongo import DESCENDING, ReplaceOne

from daemons.banking_api.ledger.documents import BSON_OPTIONS, encode
from daemons.shared.clock import utc_now
from daemons.shared.mongo import Database

_PARTS = 256
_DIGEST_BYTES = 32
_KEPT = 8
_AT_ONCE = 16
"""A part is a megabyte where there are a million accounts."""


class AccountState(NamedTuple):
    """An account or a tally where a proof ended."""

    balance_minor: int
    sequence: int
    entries: int
    """How many entries of transactions it has."""
    may_be_below_zero: bool
    written: tuple[int, int] | None
    """The number and the balance that were written down; None for what is never written down."""
    terms: Mapping[str, Any] | None
    """As plain values; None for what is never opened."""


@dataclass(frozen=True, slots=True)
class ProvenState:
    """The books where a proof ended."""

    completed: int
    failed: int
    as_of: datetime
    """When the newest record was made."""
    last_id: UUID
    """The largest id of a record."""
    newest: Sequence[tuple[UUID, bytes]]
    """The records of that time, with the digests of what their events tell."""
    accounts: Mapping[str, AccountState]


class ProvenStates:
    """Keeps what the last proofs left; each of several people may go on from their own."""

    def __init__(self, database: Database) -> None:
        self._kept = database["proven_states"]

    async def keep(self, state: ProvenState, *, rewrite: bool) -> bytes:
        """Store a state and remove older ones; returns the digest that vouches for it.

        Args:
            state: what was proven.
            rewrite: write also what seems to be there already.
        """
        contents: dict[bytes, bytes] = {}
        names: list[bytes] = []
        for part in _parts(state.accounts):
            content = encode({"accounts": part})
            names.append(hashlib.sha256(content).digest())
            contents[names[-1]] = content
            await asyncio.sleep(0)
        index = encode(
            {
                "completed": state.completed,
                "failed": state.failed,
                "as_of": state.as_of,
                "last_id": state.last_id,
                "newest": [[id_, digest] for id_, digest in state.newest],
                "parts": b"".join(names),
            }
        )
        there: set[bytes] = set()
        if not rewrite:
            there = {found["_id"] async for found in self._kept.find({}, {"_id": 1})}
        missing = [name for name in contents if name not in there]
        for start in range(0, len(missing), _AT_ONCE):
            written = [
                ReplaceOne({"_id": name}, {"content": contents[name]}, upsert=True)
                for name in missing[start : start + _AT_ONCE]
            ]
            await self._kept.bulk_write(written, ordered=False)
        digest = hashlib.sha256(index).digest()
        kept = {"content": index, "at": utc_now()}
        await self._kept.replace_one({"_id": digest}, kept, upsert=True)
        await self._sweep()
        return digest

    async def _sweep(self) -> None:
        """Remove what none of the last states is made of."""
        used: set[bytes] = set()
        newest = self._kept.find({"at": {"$type": "date"}}).sort("at", DESCENDING).limit(_KEPT)
        async for found in newest:
            used.add(found["_id"])
            with suppress(BSONError, KeyError, TypeError):
                used.update(_names(bson.decode(found["content"], BSON_OPTIONS)["parts"]))
        await self._kept.delete_many({"_id": {"$nin": list(used)}})

    async def load(self, digest: bytes) -> ProvenState | None:
        """Return the state of this digest; None if it is not there, or was changed."""
        try:
            index = await self._load(digest)
            accounts: dict[str, AccountState] = {}
            for name in _names(index["parts"]):
                part = await self._load(name)
                accounts |= {found[0]: _account_state(found) for found in part["accounts"]}
        except LookupError:
            return None
        return ProvenState(
            index["completed"],
            index["failed"],
            index["as_of"],
            index["last_id"],
            [(id_, told) for id_, told in index["newest"]],
            accounts,
        )

    async def _load(self, digest: bytes) -> dict[str, Any]:
        found = await self._kept.find_one({"_id": digest})
        content = None if found is None else found.get("content")
        if not isinstance(content, bytes) or hashlib.sha256(content).digest() != digest:
            raise LookupError("what was kept is gone")
        return bson.decode(content, BSON_OPTIONS)


def _names(parts: bytes) -> list[bytes]:
    return [parts[start : start + _DIGEST_BYTES] for start in range(0, len(parts), _DIGEST_BYTES)]


def _parts(accounts: Mapping[str, AccountState]) -> list[list[list[Any]]]:
    """What changes little from proof to proof: an account is always in the same part."""
    parts: list[list[list[Any]]] = [[] for _ in range(_PARTS)]
    for id_ in sorted(accounts):
        parts[crc32(id_.encode()) % _PARTS].append([id_, *accounts[id_]])
    return parts


def _account_state(found: Sequence[Any]) -> AccountState:
    _, balance, sequence, entries, may_be_below_zero, written, terms = found
    return AccountState(
        balance, sequence, entries, may_be_below_zero, None if written is None else tuple(written), terms
    )
