"""The journal is a chain: each group of records ends in a seal over them and over the seal before.

The root is that of a Merkle tree as in RFC 6962: a record's inclusion can be shown with a few hashes.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

_LEAF = b"\x00"
_NODE = b"\x01"


class Head(NamedTuple):
    """The end of the chain: the last seal's number and hash, and how many records there are up to it."""

    number: int
    hash: bytes
    records: int


GENESIS = Head(0, hashlib.sha256(b"bankctl ledger").digest(), 0)


class Seal(NamedTuple):
    """Seals one group of records, given as they are stored."""

    number: int
    previous: bytes
    root: bytes
    records: int
    """How many records there are up to and with this group."""
    at: datetime
    hash: bytes

    @property
    def head(self) -> Head:
        """The chain's end once this seal is stored."""
        return Head(self.number, self.hash, self.records)


def seal(documents: Sequence[bytes], before: Head, *, at: datetime) -> Seal:
    """Return the seal of the next group; `at` has whole milliseconds, as it is stored."""
    number, records = before.number + 1, before.records + len(documents)
    root = root_of([leaf_of(document) for document in documents])
    return Seal(number, before.hash, root, records, at, hash_of(number, before.hash, root, records, at))


def hash_of(number: int, previous: bytes, root: bytes, records: int, at: datetime) -> bytes:
    """Return the hash that the next seal refers to."""
    milliseconds = round(at.timestamp() * 1000)
    numbers = b"".join(value.to_bytes(8, "big") for value in (number, records, milliseconds))
    return hashlib.sha256(numbers + previous + root).digest()


def leaf_of(document: bytes) -> bytes:
    """Return the hash of one document as it is stored."""
    return hashlib.sha256(_LEAF + document).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree with these leaves, at least one."""
    sha256 = hashlib.sha256
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(_NODE + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]
