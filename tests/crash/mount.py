"""Shows a :class:`tests.crash.disk.Disk` to the kernel: ``python -m tests.crash.mount …``.

The process is the disk and its cache. It reads commands from its standard input, a line each,
and answers with lines of JSON:

- ``arm <operations> <seed>``: cut the power after so many more changes or syncs;
- ``cut <seed>``: cut it now;
- ``cut``: cut it now, and lose all that was not synced.

Cut, it answers no request any more, whatever is under way. It writes what survived into its
image, the directory that the next start begins with, says what was lost, and waits for its end.

The kernel's page cache is the machine's memory; requests reach this process at ``write`` (there
is no write-back cache), at ``msync`` and at its own leisure for pages that were written through a
mapping, such as SQLite's ``-shm``. Locks are the kernel's.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import stat
import sys
import threading
from pathlib import Path
from random import Random
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations

from tests.crash.disk import Change, Directory, Disk, Edit, File, Node, Order

BLOCK_BYTES = 4096
BLOCKS = 1 << 20
"""What ``statfs`` tells."""


class Mounted(Operations):  # type: ignore[misc]  # the library's callbacks have no types
    """The file system's operations; one at a time."""

    use_ns = True

    def __init__(self, disk: Disk, image: Path) -> None:
        self._disk = disk
        self._image = image
        self._lock = threading.Lock()
        self._left = -1
        self._seed = 0
        self._files: dict[int, File] = {}
        self._handle = 0

    # -- the power

    def command(self, line: str) -> None:
        """Obey one line of the standard input; in a thread of its own."""
        words = line.split()
        with self._lock:
            if words[0] == "arm":
                self._left, self._seed = int(words[1]), int(words[2])
            else:
                self._cut(int(words[1]) if len(words) > 1 else None)

    def _changing(self) -> None:
        """Called before each change and sync: the last moment at which it may not happen."""
        if self._left == 0:
            self._cut(self._seed)
        self._left -= 1

    def _cut(self, seed: int | None) -> None:
        loss = self._disk.cut(None if seed is None else Random(seed))
        self._disk.save(self._image)
        print(json.dumps(vars(loss)), flush=True)
        while True:  # with the lock held: until the end, nobody is answered
            threading.Event().wait()

    # -- names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        del fh
        with self._lock:
            node = self._find(path)
            if isinstance(node, Directory):
                return {"st_mode": stat.S_IFDIR | node.mode, "st_nlink": 2, **_owner()}
            size = len(node.visible)
            blocks = -(-size // 512)
            mode = stat.S_IFREG | node.mode
            return {"st_mode": mode, "st_nlink": 1, "st_size": size, "st_blocks": blocks} | _owner()

    def readdir(self, path: str, fh: int) -> list[str]:
        del fh
        with self._lock:
            node = self._find(path)
            if not isinstance(node, Directory):
                raise FuseOSError(errno.ENOTDIR)
            return [".", "..", *node.visible]

    def mkdir(self, path: str, mode: int) -> int:
        with self._lock:
            self._changing()
            directory, name = self._disk.parent(path)
            self._disk.edit(Edit(directory, name, Directory(stat.S_IMODE(mode))))
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        del fi
        with self._lock:
            self._changing()
            directory, name = self._disk.parent(path)
            file = File(stat.S_IMODE(mode))
            self._disk.edit(Edit(directory, name, file))
            return self._open(file)

    def unlink(self, path: str) -> int:
        with self._lock:
            self._changing()
            directory, name = self._disk.parent(path)
            self._disk.edit(Edit(directory, name, None))
        return 0

    def rmdir(self, path: str) -> int:
        node = self._find(path)
        if isinstance(node, Directory) and node.visible:
            raise FuseOSError(errno.ENOTEMPTY)
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            self._changing()
            node = self._find(old)
            source, old_name = self._disk.parent(old)
            target, new_name = self._disk.parent(new)
            self._disk.edit(Edit(source, old_name, None), Edit(target, new_name, node))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            self._find(path).mode = stat.S_IMODE(mode)
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        """There are no times here."""
        del path, times
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        del path
        free = {"f_blocks": BLOCKS, "f_bfree": BLOCKS, "f_bavail": BLOCKS}
        return {"f_bsize": BLOCK_BYTES, "f_frsize": BLOCK_BYTES, **free}

    # -- files

    def open(self, path: str, flags: int) -> int:
        del flags
        with self._lock:
            return self._open(self._file(path))

    def release(self, path: str, fh: int) -> int:
        del path
        with self._lock:
            self._files.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        del path
        with self._lock:
            return bytes(self._files[fh].visible[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        del path
        with self._lock:
            self._changing()
            self._files[fh].change(Change(offset, data))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        del fh
        with self._lock:
            self._changing()
            self._file(path).change(Change(length, None))
        return 0

    def fallocate(self, path: str, mode: int, offset: int, length: int, fh: int) -> int:
        del path
        if mode:
            raise FuseOSError(errno.EOPNOTSUPP)
        with self._lock:
            self._changing()
            file = self._files[fh]
            if offset + length > len(file.visible):
                file.change(Change(offset + length, None))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        del path
        with self._lock:
            self._changing()
            self._disk.sync_file(self._files[fh], data_only=bool(datasync))
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        del datasync, fh
        with self._lock:
            self._changing()
            node = self._find(path)
            assert isinstance(node, Directory)
            self._disk.sync_directory(node)
        return 0

    def _open(self, file: File) -> int:
        self._handle += 1
        self._files[self._handle] = file
        return self._handle

    def _find(self, path: str) -> Node:
        try:
            return self._disk.find(path)
        except FileNotFoundError:
            raise FuseOSError(errno.ENOENT) from None

    def _file(self, path: str) -> File:
        node = self._find(path)
        if not isinstance(node, File):
            raise FuseOSError(errno.EISDIR)
        return node


def _owner() -> dict[str, int]:
    return {"st_uid": os.getuid(), "st_gid": os.getgid()}


def _listen(mounted: Mounted) -> None:
    for line in sys.stdin:
        mounted.command(line)


def main() -> None:
    """Mount, and serve until killed or unmounted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("order", type=Order)
    arguments = parser.parse_args()
    disk = Disk.load(arguments.image, arguments.order)
    mounted = Mounted(disk, arguments.image)
    threading.Thread(target=_listen, args=(mounted,), daemon=True).start()
    FUSE(mounted, str(arguments.place), foreground=True, nothreads=True, fsname="power")


if __name__ == "__main__":
    main()
