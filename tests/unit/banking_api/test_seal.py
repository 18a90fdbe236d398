"""The seal of a group: its hash covers all that it says, and it goes on where the seal before ends."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.documents import sealed_documents
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import GENESIS, Head, hash_of, leaf_of, parts_of, seal
from daemons.contracts.merkle import leaf_hash, node_hash, root_of

AT = datetime(2026, 11, 30, 1, 2, 3, 456000, tzinfo=UTC)


def test_the_hash_covers_number_count_time_the_seal_before_and_the_root() -> None:
    previous, root = b"p" * 32, b"r" * 32
    milliseconds = (AT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert milliseconds % 1000 == 456
    covered = struct.pack(">QQQ", 7, 12, milliseconds) + previous + root
    assert hash_of(7, previous, root, 12, AT) == leaf_hash(covered)


def test_a_seal_goes_on_where_the_one_before_ends() -> None:
    first = seal([b"a", b"b"], GENESIS, at=AT)
    assert (first.number, first.records, first.previous) == (1, 2, GENESIS.hash)
    head = GENESIS.sealed(first)
    second = seal([b"c"], head, at=AT)
    assert (second.number, second.records, second.previous) == (2, 3, first.hash)
    assert second.root == leaf_of(b"c")
    root = node_hash(first.hash, second.hash)
    assert (first.nodes, second.nodes) == (b"", root)
    assert head.sealed(second) == Head(2, second.hash, 3, (root,))
    assert second.hash == hash_of(2, first.hash, second.root, 3, AT)
    assert Head(0, hashlib.sha256(b"bankctl ledger").digest(), 0, ()) == GENESIS


def records(entries: int) -> list[Record]:
    made = tuple(Entry(f"account {place}", None, place, place, place) for place in range(entries))
    return [Record(UUID(int=1), "transfer", UUID(int=2), b"key", b"print", AT, made, {"reference": "rent"})]


@given(st.integers(1, 300))
def test_the_head_follows_its_seals_and_has_the_root_over_all_of_them(count: int) -> None:
    head, hashes = GENESIS, []
    for number in range(count):
        made = seal([str(number).encode()], head, at=AT)
        head = head.sealed(made)
        hashes.append(made.hash)
    assert (head.number, head.records, head.hash) == (count, count, hashes[-1])
    assert head.root == root_of(hashes)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12])
def test_a_records_leaf_is_over_the_hash_of_its_entries_and_all_other_bytes(count: int) -> None:
    [stored] = sealed_documents(records(count), 7)
    before, entries, after = parts_of(stored)
    assert before + entries + after == stored
    decoded = bson.decode(stored)
    assert list(bson.decode(entries).values()) == decoded["entries"]
    assert decoded["seal"] == 7
    assert [len(entry.get("salt", b"")) for entry in decoded["entries"]] == [16, *[0] * count][:count]
    assert leaf_of(stored) == leaf_hash(before + hashlib.sha256(entries).digest() + after)


def test_two_records_have_different_salts() -> None:
    one, other = (bson.decode(stored)["entries"][0] for stored in sealed_documents(records(1) * 2, 7))
    assert one["salt"] != other["salt"]


@given(st.data())
def test_whatever_byte_of_a_record_is_changed_its_leaf_is_another(data: st.DataObject) -> None:
    [stored] = sealed_documents(records(2), 7)
    place = data.draw(st.integers(0, len(stored) - 1))
    changed = bytearray(stored)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert leaf_of(bytes(changed)) != leaf_of(stored)


def test_what_is_no_record_has_a_leaf_as_well() -> None:
    for stored in (b"", b"a", bson.encode({"_id": "a stranger", "entries": []})):
        assert leaf_of(stored) == leaf_hash(stored)
        with pytest.raises(ValueError, match="no record"):
            parts_of(stored)
