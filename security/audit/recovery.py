"""Where an audit log ended: what opening it has to know, read from its files.

The current file is checked line by line, so that damage shows at the start; files before it are
checked by ``wardgate audit verify``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from security.audit.checking import tree_from
from security.audit.form import (
    CURRENT,
    LAYOUT,
    ROTATED,
    AuditBrokenError,
    file_start,
    files_of,
    read_line,
)
from security.audit.merkle import Tree, leaf_hash


class Found(NamedTuple):
    """The end of a log."""

    layout: int
    """0 where there is no log yet."""
    tree: Tree
    """From the current file's beginning on; of layout 2 alone."""
    size: int
    """Of the current file without its torn last line, in bytes."""
    cut_bytes: int
    first: int = 0
    """The first entry of the current file."""
    begun_us: int = 0
    name: str = ""
    log: str = ""
    chain: str = ""
    """Layout 1's last."""

    @property
    def is_new(self) -> bool:
        return not self.layout


def find(directory: Path) -> Found:
    """Look where a log ended.

    Raises:
        AuditBrokenError: its end is not what was written.
        OSError: it can't be read.
    """
    content = (directory / CURRENT).read_bytes()
    size = content.rfind(b"\n") + 1
    cut_bytes = len(content) - size
    path = directory / CURRENT
    if not size:
        # A crash between a rotation and its first entry leaves an empty current file.
        rotated = sorted(directory.glob(ROTATED))
        if not rotated:
            return Found(0, Tree(), 0, cut_bytes)
        path = rotated[-1]
    lines = (content[:size] if size else path.read_bytes()).splitlines(keepends=True)
    first = read_line(lines[0], f"{path.name}:1")[1]
    last = read_line(lines[-1], f"{path.name}:{len(lines)}")[1]
    if first.chain:
        return Found(1, Tree(), size, cut_bytes, first.n, chain=last.chain)
    if not first.begins_file:
        raise AuditBrokenError(f"{path.name}:1: entry {first.n} does not begin a file")
    tree = _checked(lines, path.name)
    if not size:
        tree = Tree(tree.size, tree.peaks())
    return Found(
        LAYOUT, tree, size, cut_bytes, first.n, begun_us=first.us, name=first.name, log=first.log
    )


def _checked(lines: list[bytes], name: str) -> Tree:
    tree: Tree | None = None
    for at, line in enumerate(lines, start=1):
        body, entry = read_line(line, f"{name}:{at}")
        if tree is None:
            tree = file_start(entry, f"{name}:{at}")
        leaf = leaf_hash(body)
        if leaf.hex() != entry.leaf or entry.n != tree.size + 1:
            raise AuditBrokenError(f"{name}:{at}: entry {entry.n} is not what was written")
        tree.append(leaf)
    return tree or Tree()


def convert(directory: Path) -> tuple[Tree, int]:
    """The tree over a log of layout 1, known by its peaks, and its oldest entry's number.

    Raises:
        AuditBrokenError, OSError: it can't be read.
    """
    first = files_of(directory)[0]
    with first.open("rb") as lines:
        oldest = read_line(lines.readline(), first.name)[1].n
    tree = tree_from(directory, oldest - 1)
    return Tree(tree.size, tree.peaks()), oldest
