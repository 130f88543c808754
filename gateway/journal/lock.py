"""One process per journal: an advisory lock that the kernel releases however the process ends."""

from __future__ import annotations

import fcntl
import os

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
            raise ConfigError(f"journal {directory} is open in another process") from error

    def close(self) -> None:
        """Release; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
