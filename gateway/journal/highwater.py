"""The high-water mark: what a lane is known to have held, kept apart from the log itself.

A log alone can't show that its end is missing. The mark says up to which sequence number
groups were synced, in which epoch, and from where on the log was not deleted by retention.

Rules:
- Two slots, 4096 bytes apart; the newest whose CRC holds counts. Between two syncs only the
  slot that is not the last durable one is written, so that a torn write never costs both.
- Written after every successful sync of a frame, so it never claims more than was durable;
  made durable itself at most ``high_water_sync_s`` late, so that a commit costs one sync.
- After a failed sync the slot is written again before the next one, since the kernel may
  consider the page clean.
- A mark that can't be written is only a weaker mark: it is reported, and commits go on. Only
  retention needs it to be durable before it deletes.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from gateway.journal.files import Files, write_all

MAGIC = b"WGHW"
VERSION = 1
SLOT_BYTES = 4096
_SLOT = struct.Struct("<4sBB2x16sQQQQQQQ")


class Mark(NamedTuple):
    """What one slot says."""

    log_id: bytes
    generation: int
    seq: int
    """Everything up to here was synced."""
    commit: int
    """Highest commit number that was synced."""
    epoch: int
    epoch_first_seq: int
    """The sequence number at which ``epoch`` began."""
    floor: int
    """Everything up to here was deleted by retention or dropped."""
    floor_commit: int
    """Highest commit number among what was deleted."""


def encode_slot(lane: int, mark: Mark) -> bytes:
    """One slot's bytes, CRC last."""
    data = _SLOT.pack(MAGIC, VERSION, lane, *mark)
    return data + crc32(data).to_bytes(4, "little")


def decode_slot(lane: int, data: bytes) -> Mark | None:
    """The mark, or None when the slot was never written or is damaged."""
    checked = data[: _SLOT.size]
    if len(data) < _SLOT.size + 4:
        return None
    if crc32(checked) != int.from_bytes(data[_SLOT.size : _SLOT.size + 4], "little"):
        return None
    magic, version, of_lane, *fields = _SLOT.unpack(checked)
    if magic != MAGIC or version != VERSION or of_lane != lane:
        return None
    return Mark(*fields)


class HighWater:
    """The mark's file of one lane."""

    def __init__(self, files: Files, path: str, directory: str, lane: int) -> None:
        self._files = files
        self._path = path
        self._directory = directory
        self._lane = lane
        self._fd = -1
        self._slot = 0
        self._unsynced = b""
        self._written = False

    def load(self) -> Mark | None:
        """The newest whole mark; None when there is none (a new lane, or both are damaged)."""
        try:
            self._fd = self._files.open(self._path)
        except FileNotFoundError:
            self._fd = self._files.create(self._path)
            write_all(self._files, self._fd, bytes(2 * SLOT_BYTES), 0)
            self._files.fdatasync(self._fd)
            self._files.sync_directory(self._directory)
            return None
        # What is read may be in the page cache alone, and the other slot is written next.
        self._files.fdatasync(self._fd)
        newest: Mark | None = None
        for slot in (0, 1):
            data = self._files.pread(self._fd, SLOT_BYTES, slot * SLOT_BYTES)
            mark = decode_slot(self._lane, data)
            if mark is not None and (newest is None or mark.generation > newest.generation):
                newest, self._slot = mark, 1 - slot
        return newest

    def write(self, mark: Mark) -> None:
        """Write the slot whose turn it is; ``mark.generation`` must have grown.

        Raises:
            OSError: the mark on disk is the previous one.
        """
        self._unsynced = encode_slot(self._lane, mark)
        self._written = False
        self._write()

    def _write(self) -> None:
        write_all(self._files, self._fd, self._unsynced, self._slot * SLOT_BYTES)
        self._written = True

    def sync(self) -> None:
        """Make the last mark durable, writing it again if that failed.

        Raises:
            OSError: it may not be.
        """
        if not self._unsynced:
            return
        if not self._written:
            self._write()
        try:
            self._files.fdatasync(self._fd)
        except OSError:
            self._written = False
            raise
        self._unsynced = b""
        self._slot = 1 - self._slot

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            self._files.close(self._fd)
            self._fd = -1
