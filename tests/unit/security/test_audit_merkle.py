"""Merkle trees: known answers, a naive oracle, and no changed proof that passes."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.audit.merkle import (
    EMPTY_ROOT,
    GoneError,
    Tree,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    repeated,
)

# The inputs, and the roots of the trees of the first n of them, that implementations of RFC 6962
# share as known answers.
INPUTS = [
    bytes.fromhex(each)
    for each in (
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
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_the_roots_are_those_that_others_compute():
    tree = Tree()
    for size, root in enumerate(ROOTS):
        if size:
            tree.append(leaf_hash(INPUTS[size - 1]))
        assert tree.root().hex() == root
    assert bytes.fromhex(ROOTS[0]) == EMPTY_ROOT
    assert [tree.root(size).hex() for size in range(9)] == ROOTS


def grown(tree, leaves):
    for leaf in leaves:
        tree.append(leaf)
    return tree


def test_the_example_of_the_standard():
    """RFC 9162, 2.1.5: the nodes of the proofs about a tree of seven, by their letters."""
    d = [leaf_hash(bytes([at])) for at in range(7)]
    tree = grown(Tree(), d)

    def over(*nodes):
        return sha256(b"\x01" + b"".join(nodes)).digest()

    a, b, c, dd, e, f, j = d
    g, h, i = over(a, b), over(c, dd), over(e, f)
    k, m = over(g, h), over(i, j)
    assert tree.root() == over(k, m)
    assert tree.inclusion(0) == [b, h, m]
    assert tree.inclusion(3) == [c, g, m]
    assert tree.inclusion(4) == [f, j, k]
    assert tree.inclusion(6) == [i, k]
    assert tree.consistency(3) == [c, dd, g, m]
    assert tree.consistency(4) == [m]
    assert tree.consistency(6) == [i, j, k]


# -- a naive oracle: the definitions of RFC 6962, word by word -------------------------------------


def mth(leaves):
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = half(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def half(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def path(m, leaves):
    n = len(leaves)
    if n == 1:
        return []
    k = half(n)
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, complete=True):
    n = len(leaves)
    if m == n:
        return [] if complete else [mth(leaves)]
    k = half(n)
    if m <= k:
        return [*subproof(m, leaves[:k], complete), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def leaves_of(count, salt=0):
    return [leaf_hash(b"%d/%d" % (salt, at)) for at in range(count)]


def test_every_small_tree_agrees_with_the_definitions():
    leaves = leaves_of(20)
    tree = grown(Tree(), leaves)
    for size in range(1, 21):
        assert tree.root(size) == mth(leaves[:size])
        for index in range(size):
            proof = tree.inclusion(index, size)
            assert proof == path(index, leaves[:size])
            assert inclusion_holds(leaves[index], index, size, proof, tree.root(size))
        for first in range(1, size + 1):
            proof = tree.consistency(first, size)
            assert proof == subproof(first, leaves[:size])
            assert consistency_holds(first, size, tree.root(first), tree.root(size), proof)


@given(st.data())
def test_a_tree_that_lost_its_beginning_proves_the_rest(data):
    size = data.draw(st.integers(1, 300))
    start = data.draw(st.integers(0, size - 1))
    leaves = leaves_of(size)
    whole = Tree()
    whole.extend(leaves)
    cut = data.draw(st.integers(start, size))
    rest = Tree(start, whole.peaks(start))
    rest.extend(leaves[start:cut])
    grown(rest, leaves[cut:])
    assert rest.root() == whole.root() == mth(leaves)
    assert rest.peaks() == whole.peaks()
    index = data.draw(st.integers(start, size - 1))
    assert rest.inclusion(index) == whole.inclusion(index)
    first = data.draw(st.integers(max(1, start), size))
    assert rest.root(first) == whole.root(first)
    assert rest.consistency(first) == whole.consistency(first)
    if start > 1:
        with pytest.raises(GoneError):
            rest.inclusion(0)


@given(st.data())
def test_no_changed_proof_passes(data):
    size = data.draw(st.integers(2, 200))
    leaves = leaves_of(size)
    tree = grown(Tree(), leaves)
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size - 1))
    inclusion, consistency = tree.inclusion(index), tree.consistency(first)
    root, old = tree.root(), tree.root(first)
    for proof, holds in (
        (inclusion, lambda p: inclusion_holds(leaves[index], index, size, p, root)),
        (consistency, lambda p: consistency_holds(first, size, old, root, p)),
    ):
        assert holds(proof)
        assert not holds([*proof, bytes(32)])
        assert not holds([*proof, proof[0]] if proof else [root])
        for at in range(len(proof)):
            assert not holds(proof[:at] + proof[at + 1 :])
            for changed in (bytes(32), proof[at][:31], _flipped(proof[at], data)):
                assert not holds([*proof[:at], changed, *proof[at + 1 :]])
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index))
    assert not inclusion_holds(leaves[index], other, size, inclusion, root)
    assert not inclusion_holds(leaves[other], index, size, inclusion, root)
    assert not inclusion_holds(leaves[index], index, size, inclusion, _flipped(root, data))
    assert not inclusion_holds(leaves[index], size, size, inclusion, root)
    assert not consistency_holds(first, size, _flipped(old, data), root, consistency)
    assert not consistency_holds(first, size, old, _flipped(root, data), consistency)
    assert not consistency_holds(size, first, root, old, consistency)


@given(st.data())
def test_a_rewritten_log_has_no_proof_of_consistency(data):
    size = data.draw(st.integers(2, 100))
    first = data.draw(st.integers(1, size - 1))
    at = data.draw(st.integers(0, first - 1))
    leaves = leaves_of(size)
    old = grown(Tree(), leaves[:first]).root()
    leaves[at] = leaf_hash(b"another")
    forged = grown(Tree(), leaves)
    assert not consistency_holds(first, size, old, forged.root(), forged.consistency(first))


def _flipped(digest, data):
    at = data.draw(st.integers(0, 255))
    changed = bytearray(digest)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


@given(st.integers(0, 200))
def test_many_equal_leaves_cost_little(count):
    leaf = bytes(32)
    assert repeated(leaf, count).root() == mth([leaf] * count)
    assert repeated(leaf, 10**12).size == 10**12


def test_what_can_not_be_asked_for():
    tree = grown(Tree(), leaves_of(5))
    for wrong in (
        lambda: tree.root(6),
        lambda: tree.inclusion(5),
        lambda: tree.inclusion(-1),
        lambda: tree.consistency(0),
        lambda: tree.consistency(4, 3),
        lambda: Tree(3, [bytes(32)]),
        lambda: Tree(1, [bytes(31)]),
        lambda: Tree(-1),
    ):
        with pytest.raises(ValueError):
            wrong()
    assert not consistency_holds(0, 5, EMPTY_ROOT, tree.root(), [])
    assert consistency_holds(5, 5, tree.root(), tree.root(), [])
    assert not consistency_holds(5, 5, tree.root(), tree.root(), [bytes(32)])
