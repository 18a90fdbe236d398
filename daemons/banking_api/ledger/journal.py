"""The journal in MongoDB: records and seals in one collection, a group of them in one insert."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bson.int64 import Int64

from daemons.banking_api.ledger.documents import (
    encode,
    raw,
    record_from,
    seal_document,
    seal_from,
    sealed_documents,
    state_after,
)
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import GENESIS, Head, Seal, seal
from daemons.contracts.errors import ConflictError
from daemons.contracts.merkle import HASH_BYTES, Node, NodeAt, nodes_over
from daemons.shared.mongo import Database, Document, Session, insert_all

FIRST_SEAL = 1
_READ_AT_ONCE = 250
"""Decoding as many takes some ten milliseconds, in which the event loop stands still."""

WITH_NEWEST: Document = {
    "$lookup": {
        "from": "journal",
        "localField": "_id",
        "foreignField": "entries.account",
        "pipeline": [{"$limit": 1}, {"$project": {"entries": 1}}],
        "as": "newest",
    }
}
"""The stage that joins the newest of its history to what has an account's id."""


def _completed_by(node: Node) -> int:
    """Return the number of the seal that completes a node; the first seal is leaf 0."""
    level, index = node
    return (index + 1) << level


class SealedGroup:
    """A group ready to be stored: its records, its seal, and both as the database will hold them."""

    def __init__(self, records: Sequence[Record], before: Head, *, at: datetime) -> None:
        self.records = records
        documents = sealed_documents(records, before.number + 1)
        self.seal: Seal = seal(documents, before, at=at)
        self.head = before.sealed(self.seal)
        """The chain's end once the group is stored."""
        documents.append(encode(seal_document(self.seal, [record.id for record in records])))
        self.documents: list[Any] = [raw(document) for document in documents]


class Journal:
    """Stores sealed groups, and reads records and seals; nothing in it is ever changed."""

    def __init__(self, database: Database) -> None:
        self._journal = database["journal"]

    def seal(self, records: Sequence[Record], before: Head, *, at: datetime) -> SealedGroup:
        """Return a group ready to be stored behind the chain's end."""
        return SealedGroup(records, before, at=at)

    async def append(self, group: SealedGroup, *, session: Session) -> None:
        """Store a group in the caller's transaction.

        Raises:
            DuplicateKeyError: a key, an account's next number, or the seal's number is taken.
        """
        await insert_all(self._journal, group.documents, session=session)

    async def head(self, *, session: Session | None = None) -> Head:
        """Return the chain's end.

        Raises:
            ConflictError: a seal that it rests on was removed.
        """
        found = self._journal.find({"_id": {"$gte": FIRST_SEAL}}, {"ids": 0}, session=session)
        newest = await found.sort("_id", -1).limit(1).to_list()
        if not newest:
            return GENESIS
        number = int(newest[0]["_id"])
        nodes = nodes_over((0, number))
        node_at = await self.nodes(nodes, session=session)
        frontier = tuple(node_at(node) for node in nodes)
        return Head(number, newest[0]["hash"], int(newest[0]["records"]), frontier)

    async def nodes(self, nodes: Iterable[Node], *, session: Session | None = None) -> NodeAt:
        """Return nodes of the tree of seals: each is stored with the seal that completes it.

        Raises:
            ConflictError: one of these seals is not there.
        """
        wanted = {node: _completed_by(node) for node in nodes}
        ids = [Int64(number) for number in set(wanted.values())]
        found = self._journal.find({"_id": {"$in": ids}}, {"hash": 1, "nodes": 1}, session=session)
        by_number = {int(document["_id"]): document async for document in found}
        read: dict[Node, bytes] = {}
        for (level, index), number in wanted.items():
            document = by_number.get(number, {})
            stored = document.get("nodes", b"")[(level - 1) * HASH_BYTES : level * HASH_BYTES]
            node = stored if level else document.get("hash", b"")
            if len(node) != HASH_BYTES:
                raise ConflictError(
                    "books_do_not_hold", f"Seal {number} is missing or was changed; see the ledger's proof."
                )
            read[level, index] = node
        return read.__getitem__

    async def has_seal(self, number: int, *, session: Session | None = None) -> bool:
        """Tell whether there is a seal of that number."""
        return await self._journal.find_one({"_id": number}, {"_id": 1}, session=session) is not None

    async def records_up_to(self, number: int) -> int:
        """Return how many records there are up to a seal, 0 for none."""
        found = await self._journal.find_one({"_id": number}, {"records": 1})
        return 0 if found is None else int(found["records"])

    async def sealed_at(self, number: int) -> datetime | None:
        """Return when a group was sealed, None if there is no such seal."""
        found = await self._journal.find_one({"_id": number}, {"at": 1})
        return None if found is None else found["at"]

    async def seals_after(
        self, number: int, *, limit: int, session: Session | None = None
    ) -> list[tuple[Seal, list[UUID]]]:
        """Return the next seals in order, each with the ids of its records."""
        found = self._journal.find({"_id": {"$gt": number}}, session=session).sort("_id").limit(limit)
        return [seal_from(document) async for document in found]

    async def by_key(self, ids: Sequence[bytes], *, session: Session | None = None) -> dict[bytes, Record]:
        """Return those records that exist, by idempotency id."""
        found = self._journal.find({"idem": {"$in": list(ids)}}, session=session)
        records = [record_from(document) async for document in found]
        return {record.idempotency_id: record for record in records}

    async def by_id(self, ids: Sequence[UUID], *, session: Session | None = None) -> dict[UUID, Record]:
        """Return those records that exist, by id."""
        found = self._journal.find({"_id": {"$in": list(ids)}}, session=session).batch_size(_READ_AT_ONCE)
        return {document["_id"]: record_from(document) async for document in found}

    async def newest(self, ids: Collection[str], *, session: Session | None) -> dict[str, tuple[int, int]]:
        """Return balance in minor units and number of those that have entries.

        It is one round trip: an index is searched for each, and after a takeover hundreds are asked for.
        """
        if not ids:
            return {}
        stages: list[Document] = [{"$documents": [{"_id": id_} for id_ in ids]}, WITH_NEWEST]
        found = await self._journal.database.aggregate(stages, session=session)
        return {
            document["_id"]: state_after(document["newest"][0], document["_id"])
            async for document in found
            if document["newest"]
        }
