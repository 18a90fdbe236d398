"""The seal of a group: its root is that of RFC 6962, and its hash covers all that it says."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.ledger.seal import GENESIS, Head, hash_of, leaf_of, root_of, seal

AT = datetime(2026, 11, 30, 1, 2, 3, 456000, tzinfo=UTC)
# The leaves and roots with which Certificate Transparency's implementations are tested.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree(leaves: list[bytes]) -> bytes:
    """The root as RFC 6962, section 2.1, defines it."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_the_root_is_that_of_the_published_examples(size: int) -> None:
    assert root_of([leaf_of(document) for document in LEAVES[:size]]).hex() == ROOTS[size - 1]


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70))
def test_the_root_is_that_of_the_definition(documents: list[bytes]) -> None:
    leaves = [leaf_of(document) for document in documents]
    assert root_of(leaves) == tree(leaves)


def test_the_hash_covers_number_count_time_the_seal_before_and_the_root() -> None:
    previous, root = b"p" * 32, b"r" * 32
    milliseconds = (AT - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert milliseconds % 1000 == 456
    covered = struct.pack(">QQQ", 7, 12, milliseconds) + previous + root
    assert hash_of(7, previous, root, 12, AT) == hashlib.sha256(covered).digest()


def test_a_seal_goes_on_where_the_one_before_ends() -> None:
    first = seal([b"a", b"b"], GENESIS, at=AT)
    assert (first.number, first.records, first.previous) == (1, 2, GENESIS.hash)
    second = seal([b"c"], first.head, at=AT)
    assert (second.number, second.records, second.previous) == (2, 3, first.hash)
    assert second.root == leaf_of(b"c")
    assert second.head == Head(2, second.hash, 3)
    assert second.hash == hash_of(2, first.hash, second.root, 3, AT)
    assert Head(0, hashlib.sha256(b"bankctl ledger").digest(), 0) == GENESIS
