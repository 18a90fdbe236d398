"""Receipts and checkpoints verified on this machine, with the bank's public key and nothing of the bank."""

import hashlib
import struct
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from daemons.contracts.checkpoint import (
    RECEIPT_FORMAT,
    CheckpointKey,
    SignedCheckpoint,
    open_note,
)
from daemons.contracts.merkle import HASH_BYTES, is_consistent, leaf_hash, root_by_inclusion

EXPORT_FORMAT = "bankctl checkpoints 1"
"""What a file of checkpoints says that it is."""
_SEAL_BYTES = 88
_ROOT_AT = _SEAL_BYTES - HASH_BYTES
_ID_END = 30
_ENTRIES_NAME = b"\x04entries\x00"
_UUID_SUBTYPE = 4
_FIXED = {0x08: "<?", 0x10: "<i", 0x09: "<q", 0x12: "<q", 0x01: "<d"}
_TEXT, _DOCUMENT, _ARRAY, _BINARY, _DATE, _NULL = 0x02, 0x03, 0x04, 0x05, 0x09, 0x0A
"""Types of BSON, beside those of a fixed width."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a receipt proves: the record, and the checkpoint that covers it."""

    record: Mapping[str, Any]
    signed: SignedCheckpoint
    seal: int


class InvalidProofError(ValueError):
    """Something does not fit; the text says what."""


def verify_receipt(
    receipt: Mapping[str, Any], keys: Sequence[CheckpointKey], held: SignedCheckpoint | None
) -> Verified:
    """Verify that the bank has signed a journal in which the record stands, and that it goes on from `held`.

    Raises:
        InvalidProofError: it does not show that.
    """
    try:
        return _verified(receipt, keys, held)
    except InvalidProofError:
        raise
    except (
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        ValueError,
        OverflowError,
        struct.error,
    ) as error:
        raise InvalidProofError(f"it is damaged: {error}") from error


def _verified(
    receipt: Mapping[str, Any], keys: Sequence[CheckpointKey], held: SignedCheckpoint | None
) -> Verified:
    _require(receipt["format"] == RECEIPT_FORMAT, "it is not a receipt")
    record, group, journal = receipt["record"], receipt["record_inclusion"], receipt["seal_inclusion"]
    before, after, seal = (_bytes(text) for text in (record["before"], record["after"], receipt["seal"]))
    entries_hash = _bytes(record["entries_hash"])
    _require(before[_ID_END:] == _ENTRIES_NAME and len(entries_hash) == HASH_BYTES, "its record is damaged")
    _require(len(seal) == _SEAL_BYTES, "its seal is damaged")
    leaf = leaf_hash(before + entries_hash + after)
    root = root_by_inclusion(leaf, group["index"], group["size"], _path(group["path"]))
    _require(root == seal[_ROOT_AT:], "its seal is over another record")
    signed = _opened(receipt["checkpoint"], keys)
    number = int.from_bytes(seal[:8], "big")
    _require(journal["index"] == number - 1, "its proof is for another seal")
    _require(journal["size"] == signed.checkpoint.size, "its proof is for another checkpoint")
    root = root_by_inclusion(leaf_hash(seal), number - 1, journal["size"], _path(journal["path"]))
    _require(root == signed.checkpoint.root, "its checkpoint is over another journal")
    if held is not None:
        require_consistent([receipt["consistency"]] if receipt["consistency"] else [], held, signed)
    body = before[4:_ID_END] + after
    fields = _document(struct.pack("<i", 4 + len(body)) + body, 0)[0]
    if record["entries"] is not None:
        entries = _bytes(record["entries"])
        _require(hashlib.sha256(entries).digest() == entries_hash, "its entries are others")
        fields["entries"] = list(_document(entries, 0)[0].values())
    _require(fields["_id"] == receipt["transaction_id"], "it is of another transaction")
    _require(fields["seal"] == number, "its record is of another seal")
    return Verified(fields, signed, number)


def verify_checkpoints(
    export: Mapping[str, Any], keys: Sequence[CheckpointKey], held: SignedCheckpoint | None
) -> list[SignedCheckpoint]:
    """Verify that all checkpoints of a file are signed and of one journal, and `held` as well.

    Raises:
        InvalidProofError: they are not.
    """
    try:
        _require(export["format"] == EXPORT_FORMAT, "it is not a file of checkpoints")
        signed = [_opened(note, keys) for note in export["checkpoints"]]
        proofs = export["consistency"]
        _require(bool(signed), "it holds no checkpoint")
        for one, other in pairwise(signed):
            require_consistent(proofs, one, other)
        if held is not None:
            same = [one for one in signed if one.checkpoint.size == held.checkpoint.size]
            _require(bool(same), f"it holds no checkpoint of the size {held.checkpoint.size} that you hold")
            require_consistent(proofs, held, same[0])
    except InvalidProofError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidProofError(f"it is damaged: {error}") from error
    return signed


def require_consistent(
    proofs: Sequence[Mapping[str, Any]], one: SignedCheckpoint, other: SignedCheckpoint
) -> None:
    """Go on only if two checkpoints are of one journal, by one of the proofs.

    Raises:
        InvalidProofError: they are not, or there is no such proof.
    """
    older, newer = sorted((one.checkpoint, other.checkpoint), key=lambda checkpoint: checkpoint.size)
    _require(older.origin == newer.origin, "the checkpoints are of different banks")
    if older.size == newer.size:
        _require(older.root == newer.root, f"there are two journals of {older.size} seals: one was rewritten")
        return
    for proof in proofs:
        if (proof["older"], proof["newer"]) == (older.size, newer.size):
            holds = is_consistent(older.size, older.root, newer.size, newer.root, _path(proof["path"]))
            _require(holds, f"the journal was rewritten between {older.size} and {newer.size} seals")
            return
    raise InvalidProofError(f"nothing shows that {newer.size} seals go on from {older.size}")


def _opened(note: str, keys: Sequence[CheckpointKey]) -> SignedCheckpoint:
    try:
        return open_note(note, keys)
    except ValueError as error:
        raise InvalidProofError(f"its checkpoint: {error}") from error


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise InvalidProofError(problem)


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _path(steps: Sequence[str]) -> list[bytes]:
    path = [_bytes(step) for step in steps]
    _require(all(len(step) == HASH_BYTES for step in path), "a proof holds what is no hash")
    return path


def _document(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """Read a BSON document, of the types that records have; returns it and where it ends."""
    end = at + _number(data, at)
    at += 4
    fields: dict[str, Any] = {}
    while data[at]:
        kind, stop = data[at], data.index(0, at + 1)
        name = data[at + 1 : stop].decode()
        _require(name not in fields, f"its record has the field {name!r} twice")
        fields[name], at = _value(kind, data, stop + 1)
    _require(at + 1 == end, "its record is damaged")
    return fields, end


def _value(kind: int, data: bytes, at: int) -> tuple[Any, int]:
    if kind in {_DOCUMENT, _ARRAY}:
        return _document(data, at)
    if kind == _TEXT:
        end = at + 4 + _number(data, at)
        return data[at + 4 : end - 1].decode(), end
    if kind == _BINARY:
        end = at + 5 + _number(data, at)
        raw = data[at + 5 : end]
        return (str(UUID(bytes=raw)) if data[at + 4] == _UUID_SUBTYPE else raw.hex()), end
    if kind == _NULL:
        return None, at
    form = _FIXED[kind]
    number = struct.unpack_from(form, data, at)[0]
    if kind == _DATE:
        number = (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=number)).isoformat()
    return number, at + struct.calcsize(form)


def _number(data: bytes, at: int) -> int:
    number: int = struct.unpack_from("<i", data, at)[0]
    _require(number >= 0, "its record is damaged")
    return number
