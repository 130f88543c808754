"""Copies of damaged bytes, kept for the engineer and never deleted by the gateway.

A copy is named after where it came from: ``<segment number>-<start>-<end>.bad``, so that the
same damage is copied once, however often the log is opened.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.journal.files import Files, write_all

_log = logging.getLogger(__name__)
_PIECE_BYTES = 1 << 20
SUFFIX = ".bad"


class Quarantine:
    """One lane's quarantine directory."""

    def __init__(self, files: Files, directory: str, bytes_max: int) -> None:
        self._files = files
        self._directory = directory
        self._bytes_max = bytes_max
        files.make_directory(directory)
        self._names = set(files.names(directory))
        self.bytes = sum(self._size(name) for name in self._names)

    def keep(self, number: int, start: int, end: int, read: Callable[[int, int], bytes]) -> int:
        """Copy bytes ``start..end`` of a segment; return how many were newly copied.

        Raises:
            OSError: the copy could not be made, or there is no room: the original must stay.
        """
        name = f"{number:016x}-{start:010x}-{end:010x}{SUFFIX}"
        if name in self._names:
            return 0
        size = end - start
        if self.bytes + size > self._bytes_max:
            raise OSError("the quarantine is full")
        path = f"{self._directory}/{name}"
        fd = self._files.create(path)
        try:
            for at in range(start, end, _PIECE_BYTES):
                data = read(at, min(_PIECE_BYTES, end - at))
                write_all(self._files, fd, data, at - start)
            self._files.fdatasync(fd)
        except OSError:
            self._files.unlink(path)
            raise
        finally:
            self._files.close(fd)
        self._files.sync_directory(self._directory)
        self._names.add(name)
        self.bytes += size
        _log.warning("quarantined %d damaged bytes as %s", size, name)
        return size

    def _size(self, name: str) -> int:
        fd = self._files.open(f"{self._directory}/{name}")
        try:
            return self._files.size(fd)
        finally:
            self._files.close(fd)
