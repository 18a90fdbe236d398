"""Verify a receipt of a bank without the bank and without its code.

    python verify_receipt.py RECEIPT KEY [CHECKPOINT]

KEY is the bank's public key, CHECKPOINT a file with one that you kept: then the bank's present one must go on from
yours. It needs the package `cryptography` only. Trees are hashed as in RFC 9162, section 2.1; a checkpoint is a signed
note (c2sp.org/signed-note). docs/books.md says what each part of a receipt is.
"""

import json
import sys
from base64 import b64decode
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from struct import error, pack, unpack_from
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def require(condition, problem):
    if not condition:
        raise ValueError(problem)


def node(left, right):
    return sha256(b"\x01" + left + right).digest()


def decoded(path):
    return [b64decode(step) for step in path]


def above(index, last):
    if index == last:
        while index % 2 == 0 and index:
            index, last = index // 2, last // 2
    return index // 2, last // 2


def inclusion_root(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2."""
    require(0 <= index < size, "a leaf is outside its tree")
    last = size - 1
    for step in path:
        require(last > 0, "a proof of inclusion is too long")
        leaf = node(step, leaf) if index % 2 or index == last else node(leaf, step)
        index, last = above(index, last)
    require(last == 0, "a proof of inclusion is too short")
    return leaf


def require_consistent(old_size, old_root, new_size, new_root, path):
    if old_size == new_size:
        return require(old_root == new_root, "the checkpoint is another one than yours")
    require(0 < old_size < new_size and path, "there is no proof from one checkpoint to the other")
    path = list(path) if old_size & (old_size - 1) else [old_root, *path]
    index, last, old, new = old_size - 1, new_size - 1, path[0], path[0]
    while index % 2:
        index, last = index // 2, last // 2
    for step in path[1:]:
        require(last > 0, "a proof of consistency is too long")
        if index % 2 or index == last:
            old, new = node(step, old), node(step, new)
        else:
            new = node(new, step)
        index, last = above(index, last)
    require((last, old, new) == (0, old_root, new_root), "the bank's journal was rewritten since your checkpoint")


def open_note(note, key):
    name, id_, public = key.strip().split("+", 2)
    public = b64decode(public)
    right = sha256(name.encode() + b"\n" + public).digest()[:4].hex()
    require(public[:1] == b"\x01" and len(public) == 33 and right == id_, "this is no Ed25519 key")
    text, _, signatures = note.rpartition("\n\n")
    ours = [b64decode(line.split(" ")[2]) for line in signatures.split("\n") if line.startswith(f"\u2014 {name} ")]
    signature = next((signature[4:] for signature in ours if signature[:4].hex() == id_), b"")
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature, f"{text}\n".encode())
    origin, size, root = text.split("\n")[:3]
    require(origin == name, "the checkpoint is of another bank")
    return int(size), b64decode(root)


def read_document(data, at=0):
    """Return the BSON document at that place as a dict, and where it ends."""
    end, fields, at = at + unpack_from("<i", data, at)[0], {}, at + 4
    while data[at]:
        kind, stop = data[at], data.index(0, at + 1)
        name, at = data[at + 1 : stop].decode(), stop + 1
        require(name not in fields, "a field stands twice in the record")
        length = unpack_from("<i", data, at)[0] if kind in (0x02, 0x05) else 0
        require(length >= 0, "the record is damaged")
        if kind in (0x03, 0x04):
            value, at = read_document(data, at)
        elif kind == 0x02:
            value, at = data[at + 4 : at + 3 + length].decode(), at + 4 + length
        elif kind == 0x05:
            raw, is_id, at = data[at + 5 : at + 5 + length], data[at + 4] == 4, at + 5 + length
            value = str(UUID(bytes=raw)) if is_id else raw.hex()
        else:
            width, form = {0x08: (1, "<?"), 0x10: (4, "<i"), 0x09: (8, "<q"), 0x12: (8, "<q"), 0x0A: (0, "")}[kind]
            value, at = unpack_from(form, data, at)[0] if width else None, at + width
            value = str(datetime.fromtimestamp(value // 1000, timezone.utc)) if kind == 0x09 else value
        fields[name] = value
    require(at + 1 == end, "the record is damaged")
    return fields, end


def verify(receipt, key, held=None):
    """Return the record; raises whatever is wrong."""
    require(receipt["format"] == "bankctl receipt 1", "this is no receipt")
    record, group, journal = receipt["record"], receipt["record_inclusion"], receipt["seal_inclusion"]
    before, after = b64decode(record["before"]), b64decode(record["after"])
    entries_hash, seal = b64decode(record["entries_hash"]), b64decode(receipt["seal"])
    require((len(before), len(entries_hash), len(seal)) == (39, 32, 88), "the receipt is damaged")
    require(before[-9:] == b"\x04entries\x00", "the record is damaged")
    leaf = sha256(b"\x00" + before + entries_hash + after).digest()
    root = inclusion_root(leaf, group["index"], group["size"], decoded(group["path"]))
    require(root == seal[56:], "the seal is over another record")
    size, signed_root = open_note(receipt["checkpoint"], key)
    number = int.from_bytes(seal[:8], "big")
    require((journal["size"], journal["index"] + 1) == (size, number), "the proof is for another seal or checkpoint")
    root = inclusion_root(sha256(b"\x00" + seal).digest(), journal["index"], size, decoded(journal["path"]))
    require(root == signed_root, "the checkpoint is over another journal")
    if held is not None:
        ends = sorted([open_note(held, key), (size, signed_root)])
        require_consistent(*ends[0], *ends[1], decoded((receipt["consistency"] or {"path": []})["path"]))
    rest = before[4:30] + after
    fields = read_document(pack("<i", 4 + len(rest)) + rest)[0]
    if record["entries"] is not None:
        entries = b64decode(record["entries"])
        require(sha256(entries).digest() == entries_hash, "the entries are others")
        fields["entries"] = list(read_document(entries)[0].values())
    require(fields["_id"] == receipt["transaction_id"], "the receipt is of another transaction")
    require(fields["seal"] == number, "the record is of another seal")
    return fields


if __name__ == "__main__":
    file, bank_key, *kept = sys.argv[1:]
    kept_note = Path(kept[0]).read_text(encoding="utf-8") if kept else None
    try:
        print(json.dumps(verify(json.loads(Path(file).read_text(encoding="utf-8")), bank_key, kept_note), indent=2))
    except InvalidSignature:
        sys.exit("NOT VALID: the bank has not signed the checkpoint")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, error) as fault:
        sys.exit(f"NOT VALID: {fault}")
