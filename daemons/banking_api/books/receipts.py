"""Receipts: one record, with what shows that the bank has signed a journal in which it stands."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from bson import decode
from bson.raw_bson import RawBSONDocument

from daemons.banking_api.books.checkpoints import Checkpoints, Consistency, StoredCheckpoint
from daemons.banking_api.ledger.documents import BSON_OPTIONS
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.seal import content_of, leaf_of, parts_of
from daemons.contracts.checkpoint import read_checkpoint
from daemons.contracts.errors import ConflictError, NotFoundError, TransientError
from daemons.contracts.merkle import inclusion_path, inclusion_ranges, root_by_inclusion
from daemons.shared.clock import Clock
from daemons.shared.mongo import Database

AT_ONCE_SECONDS = 5
"""Requests for receipts make at most one checkpoint in that time."""


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That a leaf is in a tree."""

    index: int
    size: int
    path: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A record in parts, and the way from its hash to a signed root."""

    record_id: UUID
    before: bytes
    entries: bytes | None
    entries_hash: bytes
    after: bytes
    in_group: Inclusion
    seal: bytes
    in_journal: Inclusion
    checkpoint: str
    consistency: Consistency | None


class Receipts:
    """Makes receipts of one journal."""

    def __init__(self, database: Database, checkpoints: Checkpoints, *, clock: Clock) -> None:
        options = BSON_OPTIONS.with_options(document_class=RawBSONDocument)
        self._raw: Any = database["journal"].with_options(options)
        self._journal = Journal(database)
        self._checkpoints = checkpoints
        self._clock = clock

    async def of(self, record_id: UUID, *, whole: bool, since: int | None = None) -> Receipt:
        """Make the receipt of a record.

        Args:
            record_id: of a record that the caller may see.
            whole: with its entries, which hold the balances of all its accounts.
            since: the size of a checkpoint from which the receipt's is to be shown to follow.

        Raises:
            NotFoundError: there is no such record, or the journal was never of that size.
            TransientError: the next checkpoint is made in a moment.
            ConflictError: `books_do_not_hold`; what is stored does not fit what was sealed or signed.
        """
        stored = await self._raw.find_one({"_id": record_id})
        if stored is None:
            raise NotFoundError("transaction_not_found", "There is no such transaction.")
        number = decode(stored.raw).get("seal")
        found = await self._journal.seals_after(number - 1, limit=1) if isinstance(number, int) else []
        if not found or record_id not in found[0][1] or found[0][0].number != number:
            raise _broken(record_id)
        seal, ids = found[0]
        in_group = await self._in_group(record_id, ids)
        checkpoint = await self._covering(seal.number)
        signed = read_checkpoint(checkpoint.note)
        path = await self._checkpoints.roots_over(inclusion_ranges(seal.number - 1, signed.size))
        in_journal = Inclusion(seal.number - 1, signed.size, path)
        content = content_of(*seal[:5])
        before, entries, after = parts_of(stored.raw)
        leads_to = root_by_inclusion(seal.hash, in_journal.index, in_journal.size, path)
        if leads_to != signed.root or self._root(stored.raw, in_group) != seal.root:
            raise _broken(record_id)
        return Receipt(
            record_id=record_id,
            before=before,
            entries=entries if whole else None,
            entries_hash=hashlib.sha256(entries).digest(),
            after=after,
            in_group=in_group,
            seal=content,
            in_journal=in_journal,
            checkpoint=checkpoint.note,
            consistency=None if since is None else await self._consistency(since, signed.size),
        )

    async def _in_group(self, record_id: UUID, ids: Sequence[UUID]) -> Inclusion:
        leaves: dict[UUID, bytes] = {}
        async for document in self._raw.find({"_id": {"$in": list(ids)}}):
            leaves[document["_id"]] = leaf_of(document.raw)
        if len(leaves) < len(ids):
            raise _broken(record_id)
        index = ids.index(record_id)
        return Inclusion(index, len(ids), inclusion_path([leaves[id_] for id_ in ids], index))

    @staticmethod
    def _root(stored: bytes, inclusion: Inclusion) -> bytes | None:
        return root_by_inclusion(leaf_of(stored), inclusion.index, inclusion.size, inclusion.path)

    async def _covering(self, number: int) -> StoredCheckpoint:
        newest = await self._checkpoints.newest()
        if newest is not None and newest.size >= number:
            return newest
        if newest is not None and self._clock() - newest.at < timedelta(seconds=AT_ONCE_SECONDS):
            raise TransientError(
                "checkpoint_pending",
                "The transaction is not covered by a checkpoint yet; the next one can be made in a moment.",
                retry_after_seconds=AT_ONCE_SECONDS,
            )
        made = await self._checkpoints.make()
        if made is None or made.size < number:
            raise ConflictError("books_do_not_hold", f"The journal ends before seal {number}.")
        return made

    async def _consistency(self, since: int, size: int) -> Consistency:
        return await self._checkpoints.consistency(*sorted((since, size)))


def _broken(record_id: UUID) -> ConflictError:
    return ConflictError(
        "books_do_not_hold", f"Record {record_id} is not as it was sealed; see the ledger's proof."
    )
