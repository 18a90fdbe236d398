"""Records and seals as MongoDB documents, encoded once: what is sealed is what is sent.

`entries` holds what takes a place in an account's history: the entries of a completed record, or the account
as a failed attempt found it, marked by `attempt`.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import bson
from bson.binary import UUID_SUBTYPE, Binary, UuidRepresentation
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument

from daemons.banking_api.ledger.account import Account, Entry
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.ledger.seal import Seal
from daemons.shared.mongo import Document

SEAL = "seal"
"""The kind of a document that is no record."""
SALT_BYTES = 16
"""As many as cannot be tried one after another."""
BSON_OPTIONS: CodecOptions[Document] = CodecOptions(
    uuid_representation=UuidRepresentation.STANDARD, tz_aware=True
)


def encode(document: Document) -> bytes:
    """Return the bytes that the database will hold."""
    return bson.encode(document, codec_options=BSON_OPTIONS)


def raw(data: bytes) -> RawBSONDocument:
    """Return encoded bytes as the driver sends them."""
    return RawBSONDocument(data)


def record_document(record: Record) -> Document:
    """Return the document; amounts are 64-bit integers of minor units.

    The entries come first, where they are found without reading the rest (`seal.parts_of`).
    """
    id_ = Binary(record.id.bytes, UUID_SUBTYPE)
    entries = [_entry_document(entry) for entry in record.entries]
    if record.attempt is not None:
        entries = [{**_entry_document(record.attempt), "attempt": id_}]
    document: Document = {
        "_id": id_,
        "entries": entries,
        "kind": record.kind,
        "status": "completed" if record.failure is None else "failed",
        "initiator": _binary(record.initiator),
        "idem": record.idempotency_id,
        "fingerprint": record.fingerprint,
        "at": record.at,
        "data": record.data,
    }
    if record.failure is not None:
        document["failure"] = {"code": record.failure.code, "detail": record.failure.detail}
    return document


def sealed_documents(records: Sequence[Record], seal: int) -> list[bytes]:
    """Return the bytes of a group's records; each names its seal, and has a salt among its entries."""
    random = os.urandom(SALT_BYTES * len(records))
    made: list[bytes] = []
    for place, record in enumerate(records):
        document = record_document(record)
        document["seal"] = seal
        if entries := document["entries"]:
            entries[0]["salt"] = random[place * SALT_BYTES : (place + 1) * SALT_BYTES]
        made.append(encode(document))
    return made


def record_from(document: Document) -> Record:
    """Return the record that a document holds."""
    failure = document.get("failure")
    entries = document["entries"]
    attempted = bool(entries) and "attempt" in entries[0]
    return Record(
        id=document["_id"],
        kind=document["kind"],
        initiator=document["initiator"],
        idempotency_id=document["idem"],
        fingerprint=document["fingerprint"],
        at=document["at"],
        entries=() if attempted else tuple(entry_from(entry) for entry in entries),
        data=document["data"],
        failure=Failure(failure["code"], failure["detail"]) if failure else None,
        attempt=entry_from(entries[0]) if attempted else None,
    )


def seal_document(seal: Seal, ids: list[UUID]) -> Document:
    """Return the document; `ids` are those of the group's records, in the order in which they are sealed."""
    return {
        "_id": Int64(seal.number),
        "kind": SEAL,
        "previous": seal.previous,
        "root": seal.root,
        "records": Int64(seal.records),
        "at": seal.at,
        "hash": seal.hash,
        "nodes": seal.nodes,
        "ids": b"".join(id_.bytes for id_ in ids),
    }


def seal_from(document: Document) -> tuple[Seal, list[UUID]]:
    """Return the seal that a document holds, and the ids of its group's records."""
    ids = document["ids"]
    return (
        Seal(
            int(document["_id"]),
            document["previous"],
            document["root"],
            int(document["records"]),
            document["at"],
            document["hash"],
            document["nodes"],
        ),
        [UUID(bytes=bytes(ids[start : start + 16])) for start in range(0, len(ids), 16)],
    )


def entry_from(entry: Document) -> Entry:
    """Return the entry that a part of a document holds."""
    return Entry(
        entry["account"],
        entry["owner"],
        entry["amount"],
        entry["balance"],
        entry["sequence"],
        entry.get("change"),
    )


def state_after(document: Document, account_id: str) -> tuple[int, int]:
    """Return an account's balance in minor units and its sequence after the newest document that names it."""
    entry = next(entry for entry in document["entries"] if entry["account"] == account_id)
    return entry["balance"], entry["sequence"]


def account_document(account: Account) -> Document:
    """Return what the cache of accounts holds of one."""
    terms = account.terms
    return {
        "_id": account.id,
        "owner": terms.owner,
        "type": None if terms.type is None else terms.type.value,
        "status": terms.status.value,
        "currency": terms.currency,
        "name": terms.name,
        "status_reason": terms.status_reason,
        "opened_at": terms.opened_at,
        "balance": account.balance_minor,
        "sequence": account.sequence,
    }


def _entry_document(entry: Entry) -> dict[str, Any]:
    document: dict[str, Any] = {
        "account": entry.account_id,
        "owner": _binary(entry.owner),
        "amount": entry.amount_minor,
        "balance": entry.balance_after_minor,
        "sequence": entry.sequence,
    }
    if entry.change is not None:
        document["change"] = entry.change
    return document


@lru_cache(maxsize=65_536)
def _binary(user_id: UUID | None) -> Binary | None:
    """The driver makes a new one for every field; users come again and again."""
    return None if user_id is None else Binary.from_uuid(user_id)
