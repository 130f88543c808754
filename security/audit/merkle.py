"""Merkle trees as RFC 6962, 2.1 and RFC 9162, 2.1 define them: roots, proofs, and checking proofs.

Rules:

* The hash of a leaf is SHA-256(0x00 | data), of a node SHA-256(0x01 | left | right); a tree of n
  leaves is split at the largest power of two below n; the root of none is SHA-256 of nothing.
* A tree that lost its first ``start`` leaves is whole as long as their *peaks* are known: the roots
  of the perfect trees that the binary form of ``start`` names, the largest first. With them every
  root of a later size, and every proof about later leaves and sizes, can still be made.
* Nothing here reads, writes or tells the time.

A :class:`Tree` keeps the node of each perfect subtree that ended since ``start``: 64 bytes a leaf,
and no proof costs more than some dozen hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one entry (RFC 9162, 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


class GoneError(LookupError):
    """A proof needs the hashes of leaves that were dropped."""


class Tree:
    """A growing tree whose first ``start`` leaves may be known by their peaks alone."""

    def __init__(self, start: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Go on behind ``start`` leaves.

        Raises:
            ValueError: not the number of peaks that ``start`` has, or one that is no hash.
        """
        if start < 0 or len(peaks) != start.bit_count() or {*map(len, peaks)} - {HASH_BYTES}:
            raise ValueError(f"{start} leaves do not have these {len(peaks)} peaks")
        self.start = self.size = start
        self._levels: list[bytearray] = []
        """By level: the nodes of the perfect subtrees that are known, in order, the newest last."""
        self._first: list[int] = []
        """By level: the index, within the level, of the first node that is known."""
        left = list(peaks)
        for level in range(start.bit_length()):
            has = start >> level & 1
            self._first.append((start >> level) - has)
            self._levels.append(bytearray(left.pop() if has else b""))

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        self.extend((leaf,))

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add the hashes of the next leaves; many at once cost a third of one by one."""
        level, at, fresh = 0, self.size, leaves
        self.size += len(leaves)
        while fresh:
            if level == len(self._levels):
                self._levels.append(bytearray())
                self._first.append(0)
            nodes = self._levels[level]
            pairs = [bytes(nodes[-HASH_BYTES:]), *fresh] if at & 1 else fresh
            nodes += b"".join(fresh)
            fresh = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(pairs[::2], pairs[1::2], strict=False)
            ]
            level, at = level + 1, at >> 1

    def _node(self, level: int, index: int) -> bytes:
        """The root of the leaves [index << level, (index + 1) << level)."""
        if level < len(self._levels):
            at = (index - self._first[level]) * HASH_BYTES
            if 0 <= at < len(self._levels[level]):
                return bytes(self._levels[level][at : at + HASH_BYTES])
        raise GoneError(f"leaves {index << level} to {(index + 1) << level} are not known")

    def _range(self, begin: int, end: int) -> bytes:
        """The root over the leaves [begin, end), where begin is a multiple of the next power."""
        length = end - begin
        if length.bit_count() == 1:
            level = length.bit_length() - 1
            return self._node(level, begin >> level)
        split = begin + _split(length)
        return node_hash(self._range(begin, split), self._range(split, end))

    def root(self, size: int | None = None) -> bytes:
        """MTH(D[0:size]); by default of everything.

        Raises:
            GoneError: ``size`` lies before what is known.
            ValueError: it is larger than the tree.
        """
        size = self._known(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def peaks(self, size: int | None = None) -> list[bytes]:
        """The roots of the perfect trees that ``size`` leaves consist of, the largest first.

        Raises:
            GoneError, ValueError: as :meth:`root`.
        """
        size, begin, found = self._known(size), 0, []
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                found.append(self._node(level, begin >> level))
                begin += 1 << level
        return found

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """PATH(index, D[0:size]) of RFC 9162, 2.1.3.1.

        Raises:
            GoneError: the leaf was dropped.
            ValueError: the tree of that size has no such leaf.
        """
        size = self._known(size)
        if not 0 <= index < size:
            raise ValueError(f"a tree of {size} has no leaf {index}")
        path, begin, end = [], 0, size
        while end - begin > 1:
            split = begin + _split(end - begin)
            if index < split:
                path.append(self._range(split, end))
                end = split
            else:
                path.append(self._range(begin, split))
                begin = split
        return path[::-1]

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        """PROOF(first, D[0:second]) of RFC 9162, 2.1.4.1; empty when they are the same.

        Raises:
            GoneError: ``first`` lies before what is known.
            ValueError: not 0 < first <= second <= size.
        """
        second = self._known(second)
        if not 0 < first <= second:
            raise ValueError(f"no proof from {first} to {second}")
        path, begin, end = [], 0, second
        while first != end:
            split = begin + _split(end - begin)
            if first <= split:
                path.append(self._range(split, end))
                end = split
            else:
                path.append(self._range(begin, split))
                begin = split
        if begin:
            path.append(self._range(begin, end))
        return path[::-1]

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise ValueError(f"the tree has {self.size} leaves, not {size}")
        return size


def repeated(leaf: bytes, count: int) -> Tree:
    """A tree of ``count`` equal leaves, of which only the peaks are known; log2(count) hashes."""
    peaks: list[bytes] = []
    for level in range(count.bit_length()):
        if count >> level & 1:
            peaks.append(leaf)
        leaf = node_hash(leaf, leaf)
    return Tree(count, peaks[::-1])


def inclusion_holds(leaf: bytes, index: int, size: int, path: Iterable[bytes], root: bytes) -> bool:
    """Whether a proof shows that ``leaf`` is number ``index`` of the tree (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, node = index, size - 1, leaf
    for each in path:
        if not last or len(each) != HASH_BYTES:
            return False
        if at & 1 or at == last:
            node = node_hash(each, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, each)
        at, last = at >> 1, last >> 1
    return not last and node == root


def consistency_holds(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the tree ``second`` begins with the tree ``first`` (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not path and first_root == second_root
    if not 0 < first < second or not path or {*map(len, path)} - {HASH_BYTES}:
        return False
    proof = list(path)
    if first.bit_count() == 1:
        proof.insert(0, first_root)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = proof[0]
    for each in proof[1:]:
        if not last:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(each, older), node_hash(each, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, each)
        at, last = at >> 1, last >> 1
    return not last and older == first_root and newer == second_root


def _split(length: int) -> int:
    """The largest power of two below ``length``, which is 2 at least."""
    return 1 << (length - 1).bit_length() - 1
