"""Reading an audit log while it is written: what follows an entry, across rotations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from security.audit.form import CURRENT, LINE_BYTES_MAX, AuditBrokenError, files_of, read_line

_decode = msgspec.json.Decoder(dict[str, str | int]).decode


class Read(NamedTuple):
    """One entry."""

    number: int
    fields: dict[str, str | int]


class Follower:
    """Goes through the entries behind ``after``; used by one thread at a time.

    Entries that were dropped before they were read are skipped: the next one's number shows it.
    """

    def __init__(self, directory: Path, after: int = 0) -> None:
        self._directory = directory
        self.after = after
        """The last entry that was read."""
        self._file: BinaryIO | None = None

    def close(self) -> None:
        """Let go of the file; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, entries_max: int) -> list[Read]:
        """The next entries; none when there is nothing new yet.

        Raises:
            AuditBrokenError: a line is no entry.
            OSError: the log can't be read.
        """
        found: list[Read] = []
        while len(found) < entries_max:
            if self._file is None and not self._open():
                break
            entry = self._next()
            if entry is not None:
                if entry.number > self.after:
                    self.after = entry.number
                    found.append(entry)
            elif not self._moved_on():
                break
        return found

    def _next(self) -> Read | None:
        file = self._file
        if file is None:
            return None
        at = file.tell()
        line = file.readline(LINE_BYTES_MAX + 1)
        if not line.endswith(b"\n"):
            if len(line) > LINE_BYTES_MAX:
                raise AuditBrokenError(f"entry {self.after + 1}: no whole entry")
            file.seek(at)
            return None
        body, entry = read_line(line, f"entry {self.after + 1}")
        return Read(entry.n, _decode(body))

    def _moved_on(self) -> bool:
        """At the end of a file: whether another one has begun since, and is open now."""
        file = self._file
        if file is None:
            return False
        try:
            now = (self._directory / CURRENT).stat()
        except FileNotFoundError:
            return False
        here = os.fstat(file.fileno())
        if (here.st_dev, here.st_ino) == (now.st_dev, now.st_ino):
            return False
        at = file.tell()
        if file.readline(LINE_BYTES_MAX + 1).endswith(b"\n"):
            file.seek(at)
            return True  # it was written to once more before it was put aside
        self.close()
        return self._open()

    def _open(self) -> bool:
        """Open the file that holds what follows; False when there is none."""
        for path in reversed(files_of(self._directory)):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # rotated or dropped just now
            line = file.readline(LINE_BYTES_MAX + 1)
            if not line.endswith(b"\n"):
                file.close()
                continue
            first = read_line(line, path.name)[1].n
            if first <= self.after + 1 or path == files_of(self._directory)[0]:
                file.seek(0)
                self._file = file
                return True
            file.close()
        return False


def log_of(directory: Path) -> str:
    """The id of the log that is written there; empty for one of layout 1, or none.

    Raises:
        AuditBrokenError, OSError: it can't be read.
    """
    for path in reversed(files_of(directory)):
        with path.open("rb") as lines:
            line = lines.readline(LINE_BYTES_MAX + 1)
        if line.endswith(b"\n"):
            return read_line(line, path.name)[1].log
    return ""
