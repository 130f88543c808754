"""A disk in memory that forgets what was not synced, and fails when told to.

- A write is visible at once and durable after ``fdatasync``; a name after the directory's
  sync. ``crash`` keeps any subset of what was neither, in pieces of any size.
- A failed ``fdatasync`` behaves as Linux does: the pages stay visible, are considered clean,
  and no later sync writes them.
"""

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

PENDING, LEFT, DURABLE = range(3)


@dataclass
class Op:
    kind: str  # "write" or "truncate"
    offset: int
    data: bytes
    status: int = PENDING


@dataclass
class Inode:
    base: bytearray = field(default_factory=bytearray)
    ops: list[Op] = field(default_factory=list)
    live: bytearray = field(default_factory=bytearray)


@dataclass
class NameOp:
    name: str
    inode: Inode | None


def apply(data: bytearray, op: Op, keep=lambda _: True, piece: int = 1 << 30) -> None:
    if op.kind == "truncate":
        if keep(0):
            del data[op.offset :]
        return
    for at in range(0, len(op.data), piece):
        if keep(at):
            part = op.data[at : at + piece]
            start = op.offset + at
            if len(data) < start:
                data.extend(bytes(start - len(data)))
            data[start : start + len(part)] = part


class SimFiles:
    """Implements ``Files``."""

    def __init__(self) -> None:
        self.names_live: dict[str, Inode] = {}
        self.names_durable: dict[str, Inode] = {}
        self.name_ops: list[NameOp] = []
        self.directories: set[str] = set()
        self.fds: dict[int, tuple[str, Inode]] = {}
        self.next_fd = 3
        self.calls: list[tuple[str, str]] = []
        self.fail: Callable[[str, str, int], int | None] = lambda *_: None
        """Return an errno to make a call fail."""
        self.count = 0
        self.capacity = 1 << 60
        """Bytes that fit onto the disk."""

    def _room(self) -> int:
        return self.capacity - sum(len(inode.live) for inode in self.names_live.values())

    def _call(self, call: str, path: str) -> None:
        self.count += 1
        self.calls.append((call, path))
        code = self.fail(call, path, self.count)
        if code:
            raise OSError(code, errno.errorcode[code])

    def _fd(self, path: str, inode: Inode) -> int:
        self.next_fd += 1
        self.fds[self.next_fd] = (path, inode)
        return self.next_fd

    def create(self, path: str) -> int:
        self._call("create", path)
        if path in self.names_live:
            raise FileExistsError(path)
        inode = Inode()
        self.names_live[path] = inode
        self.name_ops.append(NameOp(path, inode))
        return self._fd(path, inode)

    def open(self, path: str) -> int:
        if path not in self.names_live:
            raise FileNotFoundError(path)
        return self._fd(path, self.names_live[path])

    def close(self, fd: int) -> None:
        del self.fds[fd]

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        path, inode = self.fds[fd]
        self._call("pread", path)
        return bytes(inode.live[offset : offset + size])

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        path, inode = self.fds[fd]
        grows = offset + len(data) - len(inode.live)
        if grows > max(self._room(), 0):
            data = data[: max(len(data) - grows + max(self._room(), 0), 0)]
            if not data:
                raise OSError(errno.ENOSPC, "ENOSPC")
        try:
            self._call("pwrite", path)
        except OSError:
            # Half of it went through, as on a disk that filled up.
            self._do(inode, Op("write", offset, bytes(data[: len(data) // 2])))
            raise
        self._do(inode, Op("write", offset, bytes(data)))
        return len(data)

    def truncate(self, fd: int, size: int) -> None:
        path, inode = self.fds[fd]
        self._call("truncate", path)
        self._do(inode, Op("truncate", size, b""))

    def allocate(self, fd: int, size: int) -> None:
        path, inode = self.fds[fd]
        self._call("allocate", path)
        if len(inode.live) < size:
            if size - len(inode.live) > self._room():
                raise OSError(errno.ENOSPC, "ENOSPC")
            self._do(inode, Op("write", len(inode.live), bytes(size - len(inode.live))))

    @staticmethod
    def _do(inode: Inode, op: Op) -> None:
        inode.ops.append(op)
        apply(inode.live, op)

    def fdatasync(self, fd: int) -> None:
        path, inode = self.fds[fd]
        try:
            self._call("fdatasync", path)
        except OSError:
            for op in inode.ops:
                if op.status == PENDING:
                    op.status = LEFT
            raise
        for op in inode.ops:
            if op.status == PENDING:
                op.status = DURABLE
        while inode.ops and inode.ops[0].status == DURABLE:
            apply(inode.base, inode.ops.pop(0))

    def size(self, fd: int) -> int:
        return len(self.fds[fd][1].live)

    def unlink(self, path: str) -> None:
        self._call("unlink", path)
        if path not in self.names_live:
            raise FileNotFoundError(path)
        del self.names_live[path]
        self.name_ops.append(NameOp(path, None))

    def names(self, directory: str) -> list[str]:
        return [
            PurePosixPath(path).name
            for path in self.names_live
            if str(PurePosixPath(path).parent) == directory
        ]

    def make_directory(self, path: str) -> None:
        self.directories.add(path)

    def sync_directory(self, path: str) -> None:
        self._call("sync_directory", path)
        rest = []
        for op in self.name_ops:
            if str(PurePosixPath(op.name).parent) != path:
                rest.append(op)
            elif op.inode is None:
                self.names_durable.pop(op.name, None)
            else:
                self.names_durable[op.name] = op.inode
        self.name_ops = rest

    def copy(self) -> "SimFiles":
        """The same disk with everything visible and durable, no process using it."""
        disk = SimFiles()
        disk.directories = set(self.directories)
        for path, inode in self.names_live.items():
            disk.put(path, bytes(inode.live))
        return disk

    def put(self, path: str, data: bytes) -> None:
        inode = Inode(bytearray(data), [], bytearray(data))
        self.names_live[path] = self.names_durable[path] = inode

    def get(self, path: str) -> bytes:
        return bytes(self.names_live[path].live)

    def killed(self) -> None:
        """The process ended; the machine did not."""
        self.fds.clear()

    def crash(self, rng: random.Random) -> None:
        """The power went: any part of what was not synced is gone."""
        self.fds.clear()
        share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        piece = rng.choice([1 << 30, 512, 64, 7])

        def kept(_: int) -> bool:
            return rng.random() < share

        names = dict(self.names_durable)
        stopped = set()
        for op in self.name_ops:
            if op.name in stopped or not kept(0):
                stopped.add(op.name)
            elif op.inode is None:
                names.pop(op.name, None)
            else:
                names[op.name] = op.inode
        for inode in {id(i): i for i in names.values()}.values():
            data = bytearray(inode.base)
            for write in inode.ops:
                apply(data, write, kept if write.status != DURABLE else lambda _: True, piece)
            inode.base, inode.live, inode.ops = data, bytearray(data), []
        self.names_live, self.names_durable, self.name_ops = dict(names), dict(names), []
