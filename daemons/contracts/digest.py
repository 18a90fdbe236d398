"""What two daemons compare: a digest of a set of events with their content, whatever their order.

Each event is hashed with its content and the hashes are added modulo 2**128. Equal count and digest mean
equal sets, up to a chance of about 2**-128 (the additive hash of Bellare and Micciancio, 1997). It takes
one pass over any number of events. The sums are kept for each of 256 parts of the ids as well: where two
sets differ, only the events of the parts that differ need to be compared one by one.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from daemons.contracts.vocabulary import PART_DIGITS

PARTS = 256
_MODULUS = 1 << 128
_BYTES = PART_DIGITS // 2
_LAST_BYTE = 15
_CONTENT = (
    "account",
    "account_id",
    "amount",
    "change",
    "corrects",
    "currency",
    "description",
    "direction",
    "failure",
    "initiated_by",
    "kind",
    "occurred_at",
    "owner",
    "reason",
    "receiver",
    "reference",
    "sender",
    "sequence",
    "status",
    "transaction_id",
    "type",
)
"""The fields of all events' data that are compared.

One that an event lacks counts as null, so that a field may be added to the schemas; name it here as well.
"""
_NAME = "display_name"
"""A user's name is user_api's and may change; it is filled in when an event is published (docs/adr/0004)."""


def event_content(event_type: str, key: str, time: str, data: Mapping[str, Any]) -> bytes:
    """Return what is compared of an event: everything but users' names.

    Args:
        event_type: Its type.
        key: The account under which it is published.
        time: When it occurred, as on the wire.
        data: Its data as JSON types.
    """
    fields = [_without_names(data.get(name)) for name in _CONTENT]
    text = json.dumps([event_type, key, time, *fields], sort_keys=True, separators=(",", ":"))
    return text.encode()


def _without_names(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_names(field) for name, field in value.items() if name != _NAME}


def part_of(event_id: UUID) -> int:
    """Return the part of the ids to which one belongs."""
    return event_id.bytes[_LAST_BYTE]


class EventSetDigest:
    """Count and digest of the events added so far."""

    def __init__(self, *, parts_named: Collection[int] = ()) -> None:
        self.count = 0
        self._parts = [0] * PARTS
        self._named_parts = frozenset(parts_named)
        self.named: dict[UUID, str] = {}
        """The digest of each event of the parts that are to be named."""

    def add(self, event_id: UUID, content: bytes = b"") -> bytes:
        """Add one event, and return its own digest; adding it twice shows in count and digest."""
        digest = hashlib.sha256(event_id.bytes + content).digest()[:_BYTES]
        self.add_digest(event_id, digest)
        return digest

    def add_digest(self, event_id: UUID, digest: bytes) -> None:
        """Add one event of which the digest is known."""
        self.count += 1
        part = part_of(event_id)
        self._parts[part] += int.from_bytes(digest, "big")
        if part in self._named_parts:
            # One that is added twice is no longer what the other side has.
            self.named[event_id] = self.named.get(event_id, "") + digest.hex()

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return f"{sum(self._parts) % _MODULUS:032x}"

    def parts(self) -> str:
        """The digests of all parts, 32 hexadecimal digits each."""
        return "".join(f"{part % _MODULUS:032x}" for part in self._parts)
