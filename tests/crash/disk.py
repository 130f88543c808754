"""A disk with a write cache: what was not synced, a power cut may take.

Rules:
- What was written is visible at once. The bytes and the size of a file are durable when its
  ``fsync`` or ``fdatasync`` has returned; a name when the directory's ``fsync`` has.
- A cut keeps any part of the rest: of each sector, whatever it held at some moment since the
  sync, independently of all others; of the size, likewise.
- Of names, STRICT keeps any subset in which one name's changes are in order, as POSIX allows.
  ORDERED keeps the first few, and every ``fsync`` of a file makes all of them durable, as the
  journals of today's file systems do.

Nothing here knows of FUSE: :mod:`tests.crash.mount` shows such a disk to the kernel.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import NamedTuple

SECTOR_BYTES = 512
PAGE_BYTES = 4096
FILE_MODE, DIRECTORY_MODE = 0o600, 0o700
UNLIKELY = 0.1
"""Share of the units of a file that fare otherwise than most of it."""
HIDDEN = ".fuse_hidden"
"""What libfuse calls a file that was removed while open."""


class Order(Enum):
    """What is promised of names that were not synced."""

    STRICT = "strict"
    ORDERED = "ordered"


class Change(NamedTuple):
    """A write, or, without bytes, a new size."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it to a whole content."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        else:
            content.extend(bytes(max(0, self.offset - len(content))))
            content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(eq=False)
class File:
    """One file: what the disk is sure of, what is visible, and the way from one to the other."""

    mode: int = FILE_MODE
    durable: bytearray = field(default_factory=bytearray)
    visible: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        """Do it, in the cache."""
        change.apply(self.visible)
        self.changes.append(change)

    def sync(self) -> None:
        """Make all of it durable."""
        for change in self.changes:
            change.apply(self.durable)
        self.changes.clear()

    def survivor(self, random: Random, unit: int) -> bytearray:
        """What a cut leaves: each unit of it as after some first part of the changes."""
        everything = len(self.changes)
        likely = random.choice((0, everything, None))
        kept: dict[int, int] = {}

        def moment() -> int:
            if likely is None or random.random() < UNLIKELY:
                return random.randint(0, everything)
            return likely

        size_at = moment()
        content = bytearray(self.durable)
        size = len(content)
        for number, (first, written) in enumerate(self.changes):
            data = bytes(max(0, len(content) - first)) if written is None else written
            end = first + len(data)
            if number < size_at:
                size = first if written is None else max(size, end)
            content.extend(bytes(max(0, end - len(content))))
            for at in range(first - first % unit, end, unit):
                if at not in kept:
                    kept[at] = moment()
                if number < kept[at]:
                    low, high = max(at, first), min(at + unit, end)
                    content[low:high] = data[low - first : high - first]
        del content[size:]
        content.extend(bytes(size - len(content)))
        return content


@dataclass(eq=False)
class Directory:
    """Names, as visible and as durable."""

    mode: int = DIRECTORY_MODE
    visible: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)


Node = File | Directory


class Edit(NamedTuple):
    """One name's new meaning; None removes it."""

    directory: Directory
    name: str
    node: Node | None

    def apply(self, names: dict[str, Node]) -> None:
        """Do it to the directory's visible or durable names."""
        if self.node is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.node


@dataclass
class Loss:
    """What a cut met: the measure of its power."""

    changed_files: int = 0
    lost_files: int = 0
    """Files with other bytes, or another size, than were visible."""
    name_changes: int = 0
    lost_name_changes: int = 0

    def add(self, other: Loss) -> None:
        """Sum up."""
        self.changed_files += other.changed_files
        self.lost_files += other.lost_files
        self.name_changes += other.name_changes
        self.lost_name_changes += other.lost_name_changes


class Disk:
    """A tree of files with a cache in front of it."""

    def __init__(self, order: Order) -> None:
        self.root = Directory()
        self._order = order
        self._edits: list[tuple[Edit, ...]] = []
        """Changes of names that are not durable; each one is kept whole or not at all."""

    # -- names

    def find(self, path: str) -> Node:
        """The node at an absolute path.

        Raises:
            FileNotFoundError: there is none.
        """
        node: Node = self.root
        for name in path.split("/"):
            if name:
                found = node.visible.get(name) if isinstance(node, Directory) else None
                if found is None:
                    raise FileNotFoundError(path)
                node = found
        return node

    def parent(self, path: str) -> tuple[Directory, str]:
        """The directory that holds, or is to hold, a path's last name.

        Raises:
            FileNotFoundError: there is no such directory.
        """
        above, _, name = path.rpartition("/")
        directory = self.find(above)
        if not isinstance(directory, Directory):
            raise FileNotFoundError(path)
        return directory, name

    def edit(self, *edits: Edit) -> None:
        """Change names: all of them, or after a cut perhaps none."""
        for edit in edits:
            edit.apply(edit.directory.visible)
        self._edits.append(edits)

    # -- durability

    def sync_file(self, file: File, *, data_only: bool) -> None:
        """``fsync``, or ``fdatasync``."""
        file.sync()
        if self._order is Order.ORDERED and not data_only:
            self._settle(self._edits)

    def sync_directory(self, directory: Directory) -> None:
        """``fsync`` of a directory."""
        if self._order is Order.ORDERED:
            self._settle(self._edits)
        else:
            self._settle([e for e in self._edits if any(each.directory is directory for each in e)])

    def _settle(self, those: list[tuple[Edit, ...]]) -> None:
        for edits in those:
            for edit in edits:
                edit.apply(edit.directory.durable)
        gone = {id(edits) for edits in those}
        self._edits = [edits for edits in self._edits if id(edits) not in gone]

    def cut(self, random: Random | None) -> Loss:
        """Take the power away: what is visible afterwards is durable.

        Args:
            random: decides on what was not synced; without it, all of that is lost.
        """
        loss = Loss(name_changes=len(self._edits))
        kept = self._kept_edits(random) if random else []
        loss.lost_name_changes = len(self._edits) - len(kept)
        self._settle(kept)
        self._edits.clear()
        unit = random.choice((SECTOR_BYTES, PAGE_BYTES)) if random else 0
        for node in _all(self.root):
            if isinstance(node, Directory):
                node.visible = dict(node.durable)
            elif node.changes:
                content = node.survivor(random, unit) if random else node.durable
                loss.changed_files += 1
                loss.lost_files += content != node.visible
                node.changes.clear()
                node.durable, node.visible = content, bytearray(content)
        return loss

    def _kept_edits(self, random: Random) -> list[tuple[Edit, ...]]:
        if self._order is Order.ORDERED:
            return self._edits[: random.randint(0, len(self._edits))]
        share = random.choice((0.0, 0.5, 0.9, 1.0))
        kept = []
        stopped: set[tuple[int, str]] = set()
        for edits in self._edits:
            names = {(id(edit.directory), edit.name) for edit in edits}
            if names & stopped or random.random() >= share:
                stopped |= names
            else:
                kept.append(edits)
        return kept

    # -- in ordinary files, from one start to the next

    @classmethod
    def load(cls, place: Path, order: Order) -> Disk:
        """A disk that holds what a directory holds, all of it durable."""
        disk = cls(order)
        _load(disk.root, place)
        return disk

    def save(self, place: Path) -> None:
        """Write what is visible into a directory, in place of what it held."""
        shutil.rmtree(place, ignore_errors=True)
        _save(self.root, place)


def _all(directory: Directory) -> Iterator[Node]:
    """Every durable node, each directory before what is in it."""
    seen = set()
    rest: list[Node] = [directory]
    while rest:
        node = rest.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, Directory):
            rest.extend(node.durable.values())


def _load(directory: Directory, place: Path) -> None:
    for path in place.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        node: Node
        if path.is_dir():
            node = Directory(mode)
            _load(node, path)
        else:
            content = path.read_bytes()
            node = File(mode, bytearray(content), bytearray(content))
        directory.visible[path.name] = directory.durable[path.name] = node


def _save(directory: Directory, place: Path) -> None:
    place.mkdir(mode=directory.mode)
    for name, node in directory.visible.items():
        path = place / name
        if isinstance(node, Directory):
            _save(node, path)
        elif not name.startswith(HIDDEN):
            path.write_bytes(node.visible)
            path.chmod(node.mode)
