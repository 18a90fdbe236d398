"""The journal is a chain and a tree: each group of records ends in a seal over them and the seal before.

A seal's root is that of a Merkle tree (RFC 9162) over the group's records as they are stored. The seals are
the leaves of a second tree, whose root is signed from time to time (docs/adr/0029, 0030).
"""

import hashlib
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from daemons.contracts.merkle import HASH_BYTES, appended, leaf_hash, root_of, root_of_frontier

_LENGTH = struct.Struct("<i")
_ENTRIES_NAME = b"\x04entries\x00"
# Behind the document's length: a type, the name `_id`, and the length and subtype before a UUID's 16 bytes.
_ENTRIES_TYPE_AT = _LENGTH.size + 1 + len(b"_id\x00") + 4 + 1 + 16
_ENTRIES_AT = _ENTRIES_TYPE_AT + len(_ENTRIES_NAME)


class Head(NamedTuple):
    """The end of the chain: the last seal's number and hash, and how many records there are up to it."""

    number: int
    hash: bytes
    records: int
    frontier: tuple[bytes, ...]
    """The largest complete nodes of the tree of seals, so that the next one can be appended."""

    @property
    def root(self) -> bytes:
        """The root of the tree of all seals."""
        return root_of_frontier(self.frontier)

    def sealed(self, seal: "Seal") -> "Head":
        """Return the end of the chain once the next seal is stored."""
        completed = len(seal.nodes) // HASH_BYTES
        frontier = (*self.frontier[: len(self.frontier) - completed], seal.node(completed))
        return Head(seal.number, seal.hash, seal.records, frontier)


GENESIS = Head(0, hashlib.sha256(b"bankctl ledger").digest(), 0, ())


class Seal(NamedTuple):
    """Seals one group of records, given as they are stored."""

    number: int
    previous: bytes
    root: bytes
    records: int
    """How many records there are up to and with this group."""
    at: datetime
    hash: bytes
    """Of all the above; the seal's leaf in the tree of seals."""
    nodes: bytes
    """The nodes of the tree of seals that this one completes, from the lowest upwards."""

    def node(self, level: int) -> bytes:
        """Return the node of a level that ends with this seal, 0 for its leaf."""
        return self.nodes[(level - 1) * HASH_BYTES : level * HASH_BYTES] if level else self.hash


def seal(documents: Sequence[bytes], before: Head, *, at: datetime) -> Seal:
    """Return the seal of the next group; `at` has whole milliseconds, as it is stored."""
    number, records = before.number + 1, before.records + len(documents)
    root = root_of([leaf_of(document) for document in documents])
    hash_ = hash_of(number, before.hash, root, records, at)
    _, completed = appended(before.frontier, before.number, hash_)
    return Seal(number, before.hash, root, records, at, hash_, b"".join(completed))


def hash_of(number: int, previous: bytes, root: bytes, records: int, at: datetime) -> bytes:
    """Return the hash that the next seal refers to."""
    return leaf_hash(content_of(number, previous, root, records, at))


def content_of(number: int, previous: bytes, root: bytes, records: int, at: datetime) -> bytes:
    """Return what a seal's hash covers: three numbers of eight bytes (the last: milliseconds), two hashes."""
    milliseconds = round(at.timestamp() * 1000)
    return b"".join(value.to_bytes(8, "big") for value in (number, records, milliseconds)) + previous + root


def leaf_of(document: bytes) -> bytes:
    """Return the hash of one record as it is stored.

    Its entries are hashed by themselves: so a record can be shown to a party of it without the balances
    that it left on accounts. The salt among them keeps anybody from guessing what was left out.
    """
    if document[_ENTRIES_TYPE_AT:_ENTRIES_AT] != _ENTRIES_NAME:
        return leaf_hash(document)
    end = _entries_end(document)
    entries = hashlib.sha256(document[_ENTRIES_AT:end]).digest()
    return leaf_hash(document[:_ENTRIES_AT] + entries + document[end:])


def parts_of(document: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what stands before a record's entries, the entries, and what stands behind, in bytes.

    Raises:
        ValueError: it is no record.
    """
    if document[_ENTRIES_TYPE_AT:_ENTRIES_AT] != _ENTRIES_NAME:
        raise ValueError("no record")
    end = _entries_end(document)
    return document[:_ENTRIES_AT], document[_ENTRIES_AT:end], document[end:]


def _entries_end(document: bytes) -> int:
    length: int = _LENGTH.unpack_from(document, _ENTRIES_AT)[0]
    return _ENTRIES_AT + length
