"""The end of a log, read on over its rotation; blocks, so call it in a thread."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

CHUNK_BYTES: Final = 1 << 18
"""At a time: a thousand lines, which take 20 ms to understand."""


class Tail:
    """Reads a file from its beginning, and whatever takes its place from its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

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

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            return False
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
