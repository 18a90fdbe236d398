"""Merkle trees: every function against the definitions of RFC 9162, written down a second time."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.merkle import (
    EMPTY_ROOT,
    Node,
    appended,
    consistency_ranges,
    inclusion_path,
    inclusion_ranges,
    is_consistent,
    leaf_hash,
    nodes_over,
    root_by_inclusion,
    root_of,
    root_of_frontier,
    root_over,
)

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


def split(size: int) -> int:
    """The largest power of two below a size."""
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def tree(data: list[bytes]) -> bytes:
    """MTH, section 2.1.1."""
    if not data:
        return hashlib.sha256(b"").digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = split(len(data))
    return hashlib.sha256(b"\x01" + tree(data[:k]) + tree(data[k:])).digest()


def path(m: int, data: list[bytes]) -> list[bytes]:
    """PATH, section 2.1.3.1."""
    if len(data) == 1:
        return []
    k = split(len(data))
    if m < k:
        return [*path(m, data[:k]), tree(data[k:])]
    return [*path(m - k, data[k:]), tree(data[:k])]


def subproof(m: int, data: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF, section 2.1.4.1."""
    if m == len(data):
        return [] if whole else [tree(data)]
    k = split(len(data))
    if m <= k:
        return [*subproof(m, data[:k], whole), tree(data[k:])]
    return [*subproof(m - k, data[k:], False), tree(data[:k])]


def data_of(size: int) -> list[bytes]:
    return [str(place).encode() for place in range(size)]


def stored_nodes(size: int) -> dict[Node, bytes]:
    """All complete nodes as the leaves that complete them leave them behind."""
    nodes: dict[Node, bytes] = {}
    frontier: tuple[bytes, ...] = ()
    for index, data in enumerate(data_of(size)):
        leaf = leaf_hash(data)
        frontier, completed = appended(frontier, index, leaf)
        for level, node in enumerate([leaf, *completed]):
            nodes[level, index >> level] = node
    assert root_of_frontier(frontier) == tree(data_of(size))
    return nodes


@pytest.mark.parametrize("size", range(1, 9))
def test_the_root_is_that_of_the_published_examples(size: int) -> None:
    assert root_of([leaf_hash(document) for document in LEAVES[:size]]).hex() == ROOTS[size - 1]


def test_a_tree_without_leaves_has_the_root_of_the_definition() -> None:
    assert root_of([]) == root_of_frontier([]) == EMPTY_ROOT == tree([])


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_root_is_that_of_the_definition(data: list[bytes]) -> None:
    assert root_of([leaf_hash(leaf) for leaf in data]) == tree(data)


@given(st.integers(0, 200))
def test_a_tree_that_grows_leaf_by_leaf_has_the_same_nodes_and_roots(size: int) -> None:
    nodes = stored_nodes(size)
    for (level, index), node in nodes.items():
        assert node == tree(data_of(size)[index << level : index + 1 << level])
    assert root_over((0, size), nodes.__getitem__) == tree(data_of(size))


@given(st.integers(1, 200), st.data())
def test_an_inclusion_proof_is_that_of_the_definition_and_is_accepted(size: int, draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, size - 1))
    data = data_of(size)
    nodes = stored_nodes(size)
    proof = [root_over(leaves, nodes.__getitem__) for leaves in inclusion_ranges(index, size)]
    assert proof == path(index, data) == inclusion_path([leaf_hash(leaf) for leaf in data], index)
    assert root_by_inclusion(leaf_hash(data[index]), index, size, proof) == tree(data)


@given(st.integers(1, 200), st.data())
def test_an_inclusion_proof_of_anything_else_is_refused(size: int, draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, size - 1))
    data = data_of(size)
    proof, leaf, root = path(index, data), leaf_hash(data[index]), tree(data)
    assert root_by_inclusion(leaf_hash(b"other"), index, size, proof) != root
    assert root_by_inclusion(leaf, index, size, [*proof, root]) is None
    assert root_by_inclusion(leaf, size, size, proof) is None
    assert root_by_inclusion(leaf, -1, size, proof) is None
    if proof:
        assert root_by_inclusion(leaf, index, size, proof[:-1]) is None
        other = draw.draw(st.integers(0, size - 1).filter(lambda one: one != index))
        assert root_by_inclusion(leaf, other, size, proof) != root
        place = draw.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:place], leaf_hash(b"other"), *proof[place + 1 :]]
        assert root_by_inclusion(leaf, index, size, changed) != root


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_consistency_proof_is_that_of_the_definition_and_is_accepted(one: int, other: int) -> None:
    older, newer = sorted((one, other))
    data, nodes = data_of(newer), stored_nodes(newer)
    proof = [root_over(leaves, nodes.__getitem__) for leaves in consistency_ranges(older, newer)]
    assert proof == (subproof(older, data, True) if older else [])
    assert is_consistent(older, tree(data[:older]), newer, tree(data), proof)


@given(st.integers(1, 100), st.integers(1, 100), st.data())
def test_a_consistency_proof_of_anything_else_is_refused(one: int, more: int, draw: st.DataObject) -> None:
    older, newer = one, one + more
    data = data_of(newer)
    proof, old_root, new_root = subproof(older, data, True), tree(data[:older]), tree(data)
    rewritten = [b"rewritten", *data[1:older]]
    assert not is_consistent(older, tree(rewritten), newer, new_root, proof)
    assert not is_consistent(older, old_root, newer, tree([*rewritten, *data[older:]]), proof)
    assert not is_consistent(older, old_root, newer, new_root, [*proof, new_root])
    assert not is_consistent(older, old_root, newer, new_root, proof[:-1])
    assert not is_consistent(newer, old_root, older, new_root, proof)
    place = draw.draw(st.integers(0, len(proof) - 1))
    changed = [*proof[:place], leaf_hash(b"other"), *proof[place + 1 :]]
    assert not is_consistent(older, old_root, newer, new_root, changed)


def test_trees_of_the_same_size_are_consistent_only_if_they_are_the_same() -> None:
    root = tree(data_of(3))
    assert is_consistent(3, root, 3, root, [])
    assert not is_consistent(3, root, 3, tree(data_of(4)), [])
    assert not is_consistent(3, root, 3, root, [root])
    assert not is_consistent(0, root, 3, root, [])
    assert not is_consistent(0, EMPTY_ROOT, 3, root, [root])


@given(st.integers(0, 5000))
def test_a_whole_tree_is_made_of_one_complete_node_for_each_bit_of_its_size(size: int) -> None:
    nodes = nodes_over((0, size))
    assert [1 << level for level, _ in nodes] == [1 << bit for bit in range(13, -1, -1) if size >> bit & 1]
    assert sum(1 << level for level, _ in nodes) == size
