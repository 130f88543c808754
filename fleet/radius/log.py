"""The end of a log, read on over its rotation and over our own restart; blocks: use a thread."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

CHUNK_BYTES: Final = 1 << 18
"""At a time: a thousand lines, which take 20 ms to understand."""
HEAD_BYTES: Final = 256
"""A number of an inode comes again; so many octets of the log, with a time in them, do not."""
ROTATED: Final = ".1"
"""Behind the name of the log that was before this one."""


class Mark(NamedTuple):
    """How far a log was read."""

    inode: int
    offset: int
    """Of the first octet that was not."""
    head: bytes
    """Digest of what it begins with, as far as it was read."""


class Tail:
    """Reads a file on from a mark, and whatever takes its place from its beginning.

    With a mark that is in neither the file nor the one before it, the file is new.
    """

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._mark = mark

    def read(self) -> bytes:
        """What was appended, at most :data:`CHUNK_BYTES`; empty: nothing yet.

        Raises:
            OSError: it is there and can't be read.
        """
        if self._file is None and not self._open():
            return b""
        assert self._file is not None
        data = self._file.read(CHUNK_BYTES)
        if data or self._is_current():
            return data
        self.close()  # all that the old one had was read
        return self._file_data() if self._open() else b""

    def mark(self, unused_bytes: int = 0) -> Mark | None:
        """How far it was read, but for the last ``unused_bytes``; None: nothing was ever there.

        Raises:
            OSError: it can't be read.
        """
        if self._file is None:
            return self._mark
        number = self._file.fileno()
        offset = max(0, self._file.tell() - unused_bytes)
        return Mark(os.fstat(number).st_ino, offset, _head(number, offset))

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        mark, self._mark = self._mark, None
        if mark is not None:
            for each in (self._path, self._path.with_name(self._path.name + ROTATED)):
                if self._found(each, mark):
                    return True
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            self._mark = mark
            return False
        return True

    def _found(self, path: Path, mark: Mark) -> bool:
        """Go on in a file, if it is the one that the mark is in."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        here = os.fstat(file.fileno())
        if (
            here.st_ino != mark.inode
            or here.st_size < mark.offset
            or _head(file.fileno(), mark.offset) != mark.head
        ):
            file.close()
            return False
        file.seek(mark.offset)
        self._file = file
        return True

    def _file_data(self) -> bytes:
        assert self._file is not None
        return self._file.read(CHUNK_BYTES)

    def _is_current(self) -> bool:
        """Whether the path still leads to the open file, and that was not cut off."""
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        return same and there.st_size >= self._file.tell()


def _head(file: int, offset: int) -> bytes:
    return hashlib.sha256(os.pread(file, min(offset, HEAD_BYTES), 0)).digest()
