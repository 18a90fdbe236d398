"""Audit records and the hash that chains each to the one before it (docs/adr/0009)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.contracts.wire import format_instant

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """From where a request comes, and which it is."""

    address: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, from where, in which request. No user id: the server's own shell, or a stranger."""

    user_id: UUID | None
    display_name: str
    role: str | None
    address: str
    request_id: str

    def person(self) -> Fields:
        """Who it is, as records and approvals keep it."""
        return {
            "user_id": None if self.user_id is None else str(self.user_id),
            "display_name": self.display_name,
            "role": self.role,
        }


SHELL = Actor(user_id=None, display_name="the server's shell", role=None, address="local", request_id="-")
"""Acts in the server's shell, without a session."""


def stranger(origin: Origin) -> Actor:
    """Return the actor of a request that nobody is signed in for."""
    return Actor(
        user_id=None,
        display_name="not signed in",
        role=None,
        address=origin.address,
        request_id=origin.request_id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An act or a security event before it has its place in the chain.

    `before` and `after` hold JSON without fractions.
    """

    at: datetime
    actor: Actor
    action: str
    target_kind: str
    target_id: str
    reason: str | None
    before: Fields | None
    after: Fields | None
    approval: Fields | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the count of its records and the last hash. Kept elsewhere it is an anchor."""

    count: int
    hash: str


def genesis(chain: str) -> Head:
    """Return the head of an empty chain; its hash names the chain, so that none passes for another."""
    return Head(0, hashlib.sha256(f"bankctl audit trail of {chain}".encode()).hexdigest())


def chained(entry: AuditEntry, before: Head, documents: Fields | None = None) -> tuple[Fields, Head]:
    """Return the entry as the record that follows `before`, and the head that it makes.

    `documents` holds the digests, before and after, of guarded documents that were changed with it.
    """
    record: Fields = {
        "seq": before.count + 1,
        "at": format_instant(entry.at),
        "actor": entry.actor.person(),
        "action": entry.action,
        "target": {"kind": entry.target_kind, "id": entry.target_id},
        "reason": entry.reason,
        "request_id": entry.actor.request_id,
        "address": entry.actor.address,
        "before": entry.before,
        "after": entry.after,
        "approval": entry.approval,
        "documents": documents,
        "previous_hash": before.hash,
    }
    record["hash"] = hash_of(record)
    return record, Head(record["seq"], record["hash"])


def hash_of(record: Mapping[str, Any]) -> str:
    """Return SHA-256 over the canonical JSON of everything in the record but its own hash.

    Canonical: keys sorted, no spaces, UTF-8 as it is, integers only (RFC 8785 without fractions).

    Raises:
        TypeError, ValueError: the record holds what no record of ours can hold.
    """
    rest = {name: value for name, value in record.items() if name != "hash"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
