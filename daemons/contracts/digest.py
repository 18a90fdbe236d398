"""A digest of a set of events that does not depend on order, so that two daemons can compare theirs.

Each id is hashed and the hashes are added modulo 2**128. Equal count and digest mean equal sets, up to a
chance of about 2**-128 (the additive hash of Bellare and Micciancio, 1997). It is computed in one pass over
any number of ids, in any order.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

_MODULUS = 1 << 128


@dataclass(slots=True)
class EventSetDigest:
    """Count and digest of the ids added so far."""

    count: int = 0
    total: int = 0

    def add(self, event_id: UUID) -> None:
        """Add one id; adding it twice shows in count and digest."""
        self.count += 1
        self.total += int.from_bytes(hashlib.sha256(event_id.bytes).digest()[:16], "big")
        self.total %= _MODULUS

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.total:032x}"
