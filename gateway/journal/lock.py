"""One process per journal, and per state directory.

The lock is advisory; the kernel releases it however the process ends.

The file holds the process's number, which counts only while the lock is held.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.domain.errors import ConfigError


class DirectoryLock:
    """Holds ``<directory>/lock`` until closed."""

    def __init__(self, directory: str) -> None:
        """Take the lock.

        Raises:
            ConfigError: another process has it.
        """
        self._fd = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise ConfigError(f"{directory} is open in another process") from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def close(self) -> None:
        """Release; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def holder(directory: Path) -> int | None:
    """The process that has a journal open; None when none has, 0 when it can't be told which."""
    try:
        with (directory / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                word = lock.read(20).strip()
                return int(word) if word.isdigit() else 0
    except OSError:
        return None  # never opened here, or not for us to see
    return None
