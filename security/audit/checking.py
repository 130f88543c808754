"""Going through an audit log: checking it, reading it, proving entries. Changes no file.

What :func:`walk` has yielded was checked against everything before it; that it was not cut at its
end is known with its last head alone, or with an anchor that was kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from security.audit.form import (
    CHECKPOINT,
    CONVERTED,
    CURRENT,
    DROPPED,
    LAYOUT,
    START,
    Anchor,
    AuditBrokenError,
    Checkpoint,
    Entry,
    TreeHead,
    file_start,
    files_of,
    key_id,
    link,
    read_line,
    start_of_first,
    statement_1,
)
from security.audit.merkle import Tree, inclusion_holds, leaf_hash

Keys = Ed25519PublicKey | Iterable[Ed25519PublicKey] | None
"""Whose signatures count; None: signatures are not looked at."""


class Verified(NamedTuple):
    """What :func:`verify` found in order."""

    name: str
    log: str
    first: int
    last: int
    checkpoints: int
    unsigned: int
    """Entries behind the last checkpoint: covered by no signature yet."""
    anchors: int
    """States kept elsewhere that agree; those of before ``first`` can't be compared."""
    head: TreeHead | None
    """The last one."""


class Step(NamedTuple):
    """One entry that is in order."""

    entry: Entry
    body: bytes
    """Its hashed bytes: a JSON object."""
    leaf: bytes


def verify(directory: Path, keys: Keys = None, anchors: Iterable[Anchor] = ()) -> Verified:
    """Check the whole log.

    Args:
        directory: where its files are.
        keys: the keys that may have signed it.
        anchors: states of it that were kept elsewhere.

    Raises:
        AuditBrokenError: with the file and line where the log is not what was written.
        OSError: it can't be read.
    """
    walk = Walk(keys, anchors)
    for _ in walk.through(directory):
        pass
    return walk.verified()


class Walk:
    """Follows the log from entry to entry."""

    def __init__(self, keys: Keys = None, anchors: Iterable[Anchor] = ()) -> None:
        if isinstance(keys, Ed25519PublicKey):
            keys = (keys,)
        self._keys: Mapping[str, Ed25519PublicKey] | None = (
            None if keys is None else {key_id(key): key for key in keys}
        )
        self._anchors: dict[int, list[Anchor]] = {}
        for each in anchors:
            size = each.number if isinstance(each, Checkpoint) else each.size
            self._anchors.setdefault(size, []).append(each)
        self._tree, self._size = Tree(), 0
        self._fresh: list[bytes] = []
        """Leaves that are not in the tree yet: many at once are cheaper."""
        self._chain = START
        self.name = self.log = ""
        self._first = self._told_first = 1
        self._begun = False
        self._checkpoints = self._unsigned = self._agreed = 0
        self.head: TreeHead | None = None

    def through(self, directory: Path) -> Iterator[Step]:
        """Every entry, the oldest first.

        Raises:
            AuditBrokenError, OSError: as :func:`verify`.
        """
        files = files_of(directory)
        if not files or files[-1].name != CURRENT:
            raise AuditBrokenError(f"{directory}: there is no {CURRENT}")
        for path in files:
            name = path.name
            with path.open("rb") as lines:
                for at, line in enumerate(lines, start=1):
                    yield self._step(line, f"{name}:{at}", begins=at == 1)

    @property
    def tree(self) -> Tree:
        """The tree over everything so far; it knows the current file's leaves."""
        self._tree.extend(self._fresh)
        self._fresh.clear()
        return self._tree

    def verified(self) -> Verified:
        """What was found, when everything was walked through.

        Raises:
            AuditBrokenError: the beginning or the end is missing.
        """
        if not self._begun:
            raise AuditBrokenError("the log is empty")
        if self._first > self._told_first:
            raise AuditBrokenError(
                f"the log begins at {self._first}, and nothing in it says that what was before"
                " was dropped"
            )
        beyond = max(self._anchors, default=0)
        if beyond > self._size:
            raise AuditBrokenError(
                f"the log ends at {self._size}, before the state kept apart, {beyond}"
            )
        return Verified(
            self.name,
            self.log,
            self._first,
            self._size,
            self._checkpoints,
            self._unsigned,
            self._agreed,
            self.head,
        )

    def _step(self, line: bytes, where: str, *, begins: bool) -> Step:
        body, entry = read_line(line, where)
        if not self._begun:
            self._tree, self._chain = start_of_first(entry, where)
            self._size = self._tree.size
            self._begun, self._first = True, entry.n
            if entry.chain:
                self._told_first = entry.n  # layout 1 said nothing of what it had dropped
            self._compare(where)
        if entry.n != self._size + 1:
            raise AuditBrokenError(f"{where}: entry {entry.n} follows {self._size}")
        if entry.chain and self.log:
            raise AuditBrokenError(f"{where}: an entry of layout 1 follows one of {LAYOUT}")
        if begins and not entry.chain:
            self._begin(entry, where)
        self._unsigned += 1
        if entry.event == CHECKPOINT:
            (self._signed_1 if entry.chain else self._signed)(entry, where)
            self._checkpoints, self._unsigned = self._checkpoints + 1, 0
        elif entry.event in (DROPPED, CONVERTED):
            self._told_first = max(self._told_first, entry.first)
        leaf = leaf_hash(body)
        if entry.chain:
            self._chain = link(self._chain, leaf)
            good = self._chain.hex() == entry.chain
        else:
            good = leaf.hex() == entry.leaf
        if not good:
            raise AuditBrokenError(f"{where}: entry {entry.n} is not what was written")
        self._fresh.append(leaf)
        self._size += 1
        self._compare(where)
        return Step(entry, body, leaf)

    def _begin(self, entry: Entry, where: str) -> None:
        if not entry.begins_file or not entry.log or (self.log and self.log != entry.log):
            raise AuditBrokenError(f"{where}: entry {entry.n} does not begin a file of this log")
        start = file_start(entry, where)
        if start.peaks() != self.tree.peaks():
            raise AuditBrokenError(f"{where}: entry {entry.n} follows something else")
        # What proofs are not asked about need not be kept.
        self._tree = start
        self.name, self.log = entry.name, entry.log

    def _signed(self, entry: Entry, where: str) -> None:
        if entry.size != entry.n - 1 or entry.root != self.tree.root().hex():
            raise AuditBrokenError(f"{where}: the head of {entry.size} is not this tree's")
        head = TreeHead(
            self.name, self.log, entry.size, entry.root, entry.us, entry.key, entry.signature
        )
        if self._keys is not None:
            key = self._keys.get(entry.key)
            if key is None:
                raise AuditBrokenError(f"{where}: signed by key {entry.key}, which was not given")
            if not head.is_signed_by(key):
                raise AuditBrokenError(f"{where}: the signature is not the log's key's")
        self.head = head

    def _signed_1(self, entry: Entry, where: str) -> None:
        if entry.of != entry.n - 1:
            raise AuditBrokenError(f"{where}: a checkpoint of {entry.of} at {entry.n}")
        if self._keys is None:
            return
        said = statement_1(entry.of, self._chain)
        if not any(_verifies(key, entry.signature, said) for key in self._keys.values()):
            raise AuditBrokenError(f"{where}: the signature is not the log's key's")

    def _compare(self, where: str) -> None:
        """Whether the states kept elsewhere are this one."""
        for anchor in self._anchors.get(self._size, ()):
            if isinstance(anchor, Checkpoint):
                same = anchor.chain == self._chain
            else:
                same = anchor.root == self.tree.root().hex()
            if not same:
                raise AuditBrokenError(
                    f"{where}: not the log whose state {self.tree.size} was kept apart"
                )
            self._agreed += 1


def _verifies(key: Ed25519PublicKey, signature: str, said: bytes) -> bool:
    try:
        key.verify(bytes.fromhex(signature), said)
    except (InvalidSignature, ValueError):
        return False
    return True


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That an entry is in the log of a signed head; hashes in hexadecimal."""

    entry: str
    """The hashed bytes."""
    leaf_index: int
    path: list[str]
    head: TreeHead

    def holds(self, key: Ed25519PublicKey) -> bool:
        """Whether it shows that the entry is in the log whose head this key signed."""
        try:
            path = [bytes.fromhex(each) for each in self.path]
            root = bytes.fromhex(self.head.root)
        except ValueError:
            return False
        leaf = leaf_hash(self.entry.encode())
        return self.head.is_signed_by(key) and inclusion_holds(
            leaf, self.leaf_index, self.head.size, path, root
        )


def prove(directory: Path, number: int, keys: Keys = None) -> Proof:
    """The proof that entry ``number`` is in the log of its last head; checks the log meanwhile.

    Raises:
        AuditBrokenError: the log is not in order, or has no such entry under a head.
        OSError: it can't be read.
    """
    walk = Walk(keys)
    body, tree = b"", Tree()
    leaves: list[bytes] = []
    for step in walk.through(directory):
        if step.entry.n == number:
            body, tree = step.body, Tree(number - 1, walk.tree.peaks(number - 1))
        if body:
            leaves.append(step.leaf)
    walk.verified()
    tree.extend(leaves)
    head = walk.head
    if not body or head is None or head.size < number:
        raise AuditBrokenError(f"no head covers an entry {number} of this log")
    path = [each.hex() for each in tree.inclusion(number - 1, head.size)]
    return Proof(body.decode(), number - 1, path, head)


def tree_from(directory: Path, size: int, end: int | None = None) -> Tree:
    """The tree from a state of ``size`` entries, or earlier, to the end; trusts the files.

    Args:
        directory: where the log's files are.
        size: how far back it has to reach.
        end: with how many entries to stop reading.

    Raises:
        AuditBrokenError: the files that held it are gone, or can't be read.
        OSError: they can't be read.
    """
    tree: Tree | None = None
    for path in _since(directory, size):
        name, leaves = path.name, []
        with path.open("rb") as lines:
            for at, line in enumerate(lines, start=1):
                body, entry = read_line(line, f"{name}:{at}")
                if tree is None:
                    tree, _ = start_of_first(entry, f"{name}:{at}")
                leaves.append(leaf_hash(body))
                if entry.n == end:
                    break
        if tree is not None:
            tree.extend(leaves)
            if tree.size == end:
                break
    if tree is None or not tree.start <= size <= tree.size:
        raise AuditBrokenError(f"the log no longer has, or does not have, its state {size}")
    return tree


def _since(directory: Path, size: int) -> list[Path]:
    """The files that hold what follows ``size`` entries, and perhaps more."""
    files = files_of(directory)
    begins = [_number(path) for path in files]
    older = [at for at, number in enumerate(begins) if number and number - 1 <= size]
    if older and files[-1].name == CURRENT and _first_of(files[-1]) - 1 <= size:
        return files[-1:]
    return files[older[-1] if older else 0 :]


def _number(path: Path) -> int:
    """The first entry, by a rotated file's name; 0 for the current one."""
    middle = path.name.split(".")[1]
    return int(middle) if middle.isdigit() else 0


def _first_of(path: Path) -> int:
    with path.open("rb") as lines:
        line = lines.readline()
    return read_line(line, path.name)[1].n if line else 1 << 62
