"""Disk space held back for alarms, for when something else fills the disk.

The byte limit keeps telemetry off the alarms' reserve, but it can't keep others off the disk.
So a file is allocated in advance; when an alarm meets a full disk, the file gives up a part,
and takes it back when there is space again. Until then telemetry is refused: it would only eat
what was freed for alarms.
"""

from __future__ import annotations

import logging

from gateway.journal.files import Files

_log = logging.getLogger(__name__)
STEP_BYTES = 1 << 20
"""What is given up at least, so that a shortage of inodes' blocks or metadata is covered too."""


class Ballast:
    """One file of allocated and unused blocks."""

    def __init__(self, files: Files, path: str, target: int) -> None:
        """Open or create the file and allocate what can be had.

        Raises:
            OSError: the file can't be created.
        """
        self._files = files
        self.target = target
        """Bytes to hold back; ``refill`` goes there, up or down."""
        try:
            self._fd = files.open(path)
        except FileNotFoundError:
            self._fd = files.create(path)
        self._short = False
        self.lent = False
        """A part was given up and not taken back yet."""
        self.refill()

    @property
    def size(self) -> int:
        """Bytes that are held back now."""
        return self._files.size(self._fd)

    def give(self, size: int) -> bool:
        """Free at least ``size`` bytes; False when there are none left to give."""
        held = self.size
        if held == 0:
            return False
        try:
            self._files.truncate(self._fd, max(held - max(size, STEP_BYTES), 0))
        except OSError as error:
            _log.warning("the alarms' disk reserve can't be used: %s", error)
            return False
        self.lent = True
        return True

    def refill(self) -> None:
        """Take back what was given, as far as there is space."""
        held = self.size
        if held == self.target:
            return
        try:
            if held > self.target:
                self._files.truncate(self._fd, self.target)
            else:
                self._files.allocate(self._fd, self.target)
        except OSError as error:
            # A failed allocation may have taken every block that was left.
            self._files.truncate(self._fd, held)
            if not self._short:
                _log.warning(
                    "the alarms' disk reserve is %d bytes short: %s", self.target - held, error
                )
            self._short = True
        else:
            self._short = self.lent = False

    def close(self) -> None:
        """Close the file; the space stays held back."""
        self._files.close(self._fd)
