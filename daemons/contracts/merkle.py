"""Merkle trees as in RFC 9162, section 2.1: roots, proofs of inclusion and of consistency, and their checks.

A tree's nodes are named by level and index: node (0, i) is leaf i, node (l, i) is over 2**l leaves, from
i * 2**l on. Only such complete nodes are ever stored; they never change while the tree grows.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

_LEAF = b"\x00"
_NODE = b"\x01"
HASH_BYTES = 32

Node = tuple[int, int]
"""Level and index of a complete node."""
Range = tuple[int, int]
"""The leaves from the first number up to, and without, the second."""
NodeAt = Callable[[Node], bytes]

EMPTY_ROOT = hashlib.sha256().digest()


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two others."""
    return hashlib.sha256(_NODE + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree with these leaves' hashes."""
    if not leaves:
        return EMPTY_ROOT
    sha256 = hashlib.sha256
    level = list(leaves)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(_NODE + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def appended(frontier: Sequence[bytes], size: int, leaf: bytes) -> tuple[tuple[bytes, ...], list[bytes]]:
    """Return the frontier of a tree with one leaf more, and the nodes above leaves that this leaf completes.

    The frontier of a tree are its largest complete nodes from left to right, one for each bit of its size.
    """
    nodes = list(frontier)
    completed: list[bytes] = []
    made = leaf
    while size & 1:
        made = node_hash(nodes.pop(), made)
        completed.append(made)
        size >>= 1
    return (*nodes, made), completed


def root_of_frontier(frontier: Sequence[bytes]) -> bytes:
    """Return the root of the tree that has this frontier."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for node in reversed(frontier[:-1]):
        root = node_hash(node, root)
    return root


def nodes_over(leaves: Range) -> list[Node]:
    """Return the complete nodes that make up a subtree of RFC 9162, from left to right.

    The first leaf's number is a multiple of the subtree's width, as it is for every subtree of a tree.
    """
    start, end = leaves
    nodes: list[Node] = []
    while start < end:
        level = (end - start).bit_length() - 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def root_over(leaves: Range, node_at: NodeAt) -> bytes:
    """Return the root of a subtree, made of complete nodes."""
    return root_of_frontier([node_at(node) for node in nodes_over(leaves)])


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return which subtrees' roots prove that a leaf is in a tree of that size, from the leaf upwards."""
    start, end = 0, size
    ranges: list[Range] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(older: int, newer: int) -> list[Range]:
    """Return which subtrees' roots prove that a tree is the beginning of a larger one."""
    if older in {0, newer}:
        return []
    start, end, whole = 0, newer, True
    ranges: list[Range] = []
    while older != end:
        middle = start + _split(end - start)
        if older <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start, whole = middle, False
    if not whole:
        ranges.append((start, end))
    return ranges[::-1]


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that the leaf of that index is in the tree with these leaves' hashes."""
    return [root_of(leaves[start:end]) for start, end in inclusion_ranges(index, len(leaves))]


def root_by_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a proof of inclusion leads to, None if it is no such proof (section 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if node & 1 or node == last:
            root = node_hash(step, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, step)
        node, last = node >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(
    older: int, older_root: bytes, newer: int, newer_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tell whether a proof shows that a tree is the beginning of another (section 2.1.4.2)."""
    if older == newer:
        return not path and older_root == newer_root
    if older == 0:
        return not path and older_root == EMPTY_ROOT
    if not 0 < older < newer or not path:
        return False
    steps: Iterator[bytes] = iter(path)
    first = older_root if older & (older - 1) == 0 else next(steps)
    node, last = older - 1, newer - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = first
    for step in steps:
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    return last == 0 and old == older_root and new == newer_root


def _split(size: int) -> int:
    """Return the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1
