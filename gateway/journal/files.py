"""The few file operations that the log is made of, so that a test can break each of them.

Rules: a write counts only after ``fdatasync`` of the file, a new name only after ``fsync`` of
its directory. Nothing here retries; the caller decides what an error means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Positioned I/O on numbered descriptors. Every method may raise OSError."""

    def create(self, path: str) -> int:
        """Create a new file for reading and writing; FileExistsError if there is one."""

    def open(self, path: str) -> int:
        """Open an existing file for reading and writing."""

    def close(self, fd: int) -> None:
        """Close; what was not synced may still be lost."""

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes; fewer only at the end of the file."""

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """Write; may be short, returns what was written."""

    def fdatasync(self, fd: int) -> None:
        """Make the file's bytes and size durable."""

    def truncate(self, fd: int, size: int) -> None:
        """Set the size."""

    def allocate(self, fd: int, size: int) -> None:
        """Reserve ``size`` bytes of disk for the file."""

    def size(self, fd: int) -> int:
        """Size in bytes."""

    def unlink(self, path: str) -> None:
        """Remove a name."""

    def names(self, directory: str) -> list[str]:
        """Names in a directory, in no order."""

    def make_directory(self, path: str) -> None:
        """Create a directory unless it exists, and make its name durable in either case."""

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable."""


class OsFiles:
    """The operating system's files; they are readable by the daemon's user alone."""

    def create(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return os.pread(fd, size, offset)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def allocate(self, fd: int, size: int) -> None:
        os.posix_fallocate(fd, 0, size)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def unlink(self, path: str) -> None:
        Path(path).unlink()

    def names(self, directory: str) -> list[str]:
        return [entry.name for entry in Path(directory).iterdir()]

    def make_directory(self, path: str) -> None:
        # One that exists may be what an earlier start made, and had no time to sync.
        Path(path).mkdir(mode=0o700, exist_ok=True)
        self.sync_directory(str(Path(path).parent))

    def sync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def write_all(files: Files, fd: int, data: bytes, offset: int) -> None:
    """Write every byte, however short the single writes are."""
    done = files.pwrite(fd, data, offset)
    while done < len(data):
        done += files.pwrite(fd, data[done:], offset + done)
