"""Checkpoints of the journal: signed, stored, and shown to follow from one another (docs/adr/0030)."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from daemons.banking_api.books.chain import SignedRoot
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.seal import Head
from daemons.contracts.checkpoint import (
    Checkpoint,
    CheckpointKey,
    SignedCheckpoint,
    open_note,
    origin_of,
    signed,
)
from daemons.contracts.errors import ConflictError, NotFoundError
from daemons.contracts.merkle import (
    Range,
    consistency_ranges,
    is_consistent,
    nodes_over,
    root_over,
)
from daemons.contracts.wire import format_instant
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document

_log = structlog.get_logger()


class CheckpointKeys:
    """What one bank signs with, and the public keys by which it is known: its own and those before it."""

    def __init__(self, bank_id: UUID, private: Ed25519PrivateKey, earlier: Iterable[CheckpointKey]) -> None:
        self.origin = origin_of(str(bank_id))
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._private = private
        self.current = CheckpointKey(self.origin, public)
        self.known = (self.current, *(key for key in earlier if key != self.current))

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note."""
        return signed(checkpoint, self.current, self._private.sign)

    def open(self, note: str) -> SignedCheckpoint:
        """Return the checkpoint of a note.

        Raises:
            ValueError: none of the bank's keys has signed it.
        """
        return open_note(note, self.known)


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint as it is kept; `number` counts them, `event_id` names it outside."""

    number: int
    event_id: UUID
    size: int
    note: str
    at: datetime
    is_proved: bool


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the journal of one size is the beginning of that of another."""

    older: int
    newer: int
    path: Sequence[bytes]


class Checkpoints:
    """Makes and reads the checkpoints of one journal; none is ever changed."""

    def __init__(self, database: Database, keys: CheckpointKeys, *, clock: Clock) -> None:
        self._checkpoints = database["checkpoints"]
        self._journal = Journal(database)
        self._clock = clock
        self.keys = keys
        self.made: Callable[[], None] = lambda: None
        """Is called when there is a new one."""

    async def newest(self, *, proved_at: int | None = None) -> StoredCheckpoint | None:
        """Return the last one, or the last one of that size up to which the books were proved."""
        wanted = {} if proved_at is None else {"proved": True, "size": proved_at}
        found = self._checkpoints.find(wanted)
        newest = await found.sort("number", DESCENDING).limit(1).to_list()
        return _stored(newest[0]) if newest else None

    async def get(self, number: int) -> StoredCheckpoint:
        """Return one.

        Raises:
            NotFoundError: there is none of that number.
        """
        found = await self._checkpoints.find_one({"number": number})
        if found is None:
            raise NotFoundError("checkpoint_not_found", f"There is no checkpoint {number}.")
        return _stored(found)

    async def before(self, number: int | None, *, limit: int) -> list[StoredCheckpoint]:
        """Return some, newest first."""
        wanted: Document = {} if number is None else {"number": {"$lt": number}}
        found = self._checkpoints.find(wanted).sort("number", DESCENDING).limit(limit)
        return [_stored(document) async for document in found]

    async def after(self, number: int, *, limit: int) -> list[StoredCheckpoint]:
        """Return the next ones in order."""
        found = self._checkpoints.find({"number": {"$gt": number}}).sort("number").limit(limit)
        return [_stored(document) async for document in found]

    async def signed_roots(self) -> tuple[list[SignedRoot], list[tuple[str, str]]]:
        """Return the roots of all checkpoints, and what is wrong with those that were changed."""
        roots: list[SignedRoot] = []
        faults: list[tuple[str, str]] = []
        expected = 1
        async for document in self._checkpoints.find({}).sort("number"):
            number, name = document.get("number"), f"checkpoint {document.get('number')}"
            if number != expected:
                faults.append((name, f"follows checkpoint {expected - 1}: what was between is missing"))
            expected = number + 1 if isinstance(number, int) else expected + 1
            try:
                stored = _stored(document)
                checkpoint = self.keys.open(stored.note).checkpoint
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                faults.append((name, f"was changed, or CHECKPOINT_OLD_KEYS lacks its key: {error}"))
                continue
            if stored.size != checkpoint.size or stored.is_proved != (checkpoint.states is not None):
                faults.append((name, "is not what its note says"))
            roots.append(SignedRoot(name, checkpoint.size, checkpoint.root))
        return roots, faults

    async def make(self, head: Head | None = None, *, states: bytes | None = None) -> StoredCheckpoint | None:
        """Sign the journal's end, or the one given; None while the journal is empty.

        Args:
            head: where the books were proved up to.
            states: the digest of all accounts there, if they were proved.

        Raises:
            ConflictError: `books_do_not_hold`; what was signed last is not the beginning of the journal.
        """
        while True:
            end = await self._journal.head() if head is None else head
            last = await self.newest()
            if end.number == 0:
                return last
            if last is not None:
                await self._require_consistent(last, end)
                if end.number < last.size or (end.number == last.size and states is None):
                    return last
            number = 1 if last is None else last.number + 1
            now = self._clock()
            text = format_instant(now)
            checkpoint = Checkpoint(self.keys.origin, end.number, end.root, end.records, text, states)
            made = StoredCheckpoint(
                number, new_id(), end.number, self.keys.sign(checkpoint), now, is_proved=states is not None
            )
            # Where another process was quicker, its checkpoint is the one to follow.
            with suppress(DuplicateKeyError):
                await self._checkpoints.insert_one(_document(made))
                _log.info("checkpoint made", number=number, seals=end.number, proved=made.is_proved)
                self.made()
                return made

    async def consistency(self, older: int, newer: int) -> Consistency:
        """Prove that the journal of one size is the beginning of that of another.

        Raises:
            NotFoundError: the journal has not so many seals.
            ConflictError: a seal that the proof needs is missing.
        """
        if newer > (await self._journal.head()).number:
            raise NotFoundError("seal_not_found", f"The journal has no {newer} seals.")
        return Consistency(older, newer, await self.roots_over(consistency_ranges(older, newer)))

    async def roots_over(self, ranges: Sequence[Range]) -> list[bytes]:
        """Return the roots of subtrees of the tree of seals, read at once."""
        node_at = await self._journal.nodes(node for leaves in ranges for node in nodes_over(leaves))
        return [root_over(leaves, node_at) for leaves in ranges]

    async def _require_consistent(self, last: StoredCheckpoint, end: Head) -> None:
        try:
            opened = self.keys.open(last.note).checkpoint
        except ValueError as error:
            raise ConflictError(
                "books_do_not_hold",
                f"Checkpoint {last.number} was changed, or CHECKPOINT_OLD_KEYS lacks its key: {error}.",
            ) from error
        older, newer = sorted([(opened.size, opened.root), (end.number, end.root)])
        path = await self.roots_over(consistency_ranges(older[0], newer[0]))
        if not is_consistent(*older, *newer, path) or opened.size != last.size:
            raise ConflictError(
                "books_do_not_hold",
                f"The journal is not the one of which checkpoint {last.number} was signed: it was rewritten.",
            )


def _document(made: StoredCheckpoint) -> Document:
    return {
        "_id": made.event_id,
        "number": made.number,
        "size": made.size,
        "note": made.note,
        "at": made.at,
        "proved": made.is_proved,
    }


def _stored(document: Document) -> StoredCheckpoint:
    return StoredCheckpoint(
        int(document["number"]),
        document["_id"],
        int(document["size"]),
        document["note"],
        document["at"],
        document["proved"],
    )
