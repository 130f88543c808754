"""Segments: files of consecutive frames of one lane.

Layout: a header of 64 bytes (little-endian), then frames without padding.

    0   4   magic "WGSG"
    4   1   version (1)
    5   1   lane
    6   2   zero
    8   16  log id
    24  8   segment number
    32  8   sequence number that the first record will have
    40  8   epoch
    48  8   time of creation, microseconds since 1970
    56  4   zero
    60  4   CRC-32 of bytes 0..59

Rules:
- A segment is written by the start that created it, only at its end, and never again.
- Files are named ``<number, 16 hexadecimal digits>.seg``; a number is never used twice.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple, Self
from zlib import crc32

from gateway.journal.files import Files
from gateway.journal.frame import Damage, Frame, Stamp, scan
from gateway.journal.types import SeqRange

MAGIC = b"WGSG"
VERSION = 1
_HEADER = struct.Struct("<4sBB2x16sQQQq4x")
HEADER_BYTES = _HEADER.size + 4
SUFFIX = ".seg"
_INDEX_STEP_BYTES = 1 << 16
_SECTOR_BYTES = 4096


class SegmentHeader(NamedTuple):
    """What a segment says of itself."""

    log_id: bytes
    number: int
    first_seq: int
    epoch: int
    created_us: int


def encode_segment_header(lane: int, header: SegmentHeader) -> bytes:
    """The first 64 bytes of a segment."""
    data = _HEADER.pack(MAGIC, VERSION, lane, *header)
    return data + crc32(data).to_bytes(4, "little")


def decode_segment_header(lane: int, data: bytes) -> SegmentHeader | None:
    """The header, or None when it is damaged or of another lane."""
    if len(data) < HEADER_BYTES:
        return None
    if crc32(data[: _HEADER.size]) != int.from_bytes(data[_HEADER.size : HEADER_BYTES], "little"):
        return None
    magic, version, of_lane, *fields = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or of_lane != lane:
        return None
    return SegmentHeader(*fields)


def segment_name(number: int) -> str:
    """File name of a segment."""
    return f"{number:016x}{SUFFIX}"


def segment_number(name: str) -> int | None:
    """The number in a file name, or None when it names no segment."""
    stem = name.removesuffix(SUFFIX)
    if stem == name or len(stem) != 16:
        return None
    try:
        return int(stem, 16)
    except ValueError:
        return None


class Segment:
    """What is known of one segment file; the lane's lock guards it."""

    def __init__(self, number: int, path: str, first_seq: int, size: int) -> None:
        self.number = number
        self.path = path
        self.size = size
        """Bytes on disk."""
        self.end = HEADER_BYTES
        """Where the last frame that counts ends."""
        self.first_seq = first_seq
        self.last_seq = first_seq - 1
        self.first_commit = 0
        self.last_commit = 0
        self.first_us = 0
        self.keys: dict[str, SeqRange] = {}
        """The records that each key sealed; a frame that counts no more may be among them."""
        self._seqs = array("Q")
        self._offsets = array("Q")

    @property
    def empty(self) -> bool:
        """No frame counts."""
        return not self._offsets

    def took(self, stamp: Stamp, offset: int, end: int, key_id: str) -> None:
        """A frame that counts lies at ``offset..end``, behind all others."""
        first, _ = self.keys.get(key_id, (stamp.first_seq, 0))
        self.keys[key_id] = SeqRange(first, stamp.last_seq)
        if self.empty:
            self.first_seq = stamp.first_seq
            self.first_commit = stamp.commit
            self.first_us = stamp.committed_us
        if self.empty or offset - self._offsets[-1] >= _INDEX_STEP_BYTES:
            self._seqs.append(stamp.first_seq)
            self._offsets.append(offset)
        self.last_seq = max(stamp.last_seq, stamp.first_seq - 1)
        self.last_commit = stamp.commit
        self.end = end
        self.size = max(self.size, end)

    def offset_before(self, seq: int) -> int:
        """Position of a frame at or before the one that holds ``seq``."""
        # Frames without records share their number with the next one: take the leftmost.
        i = bisect_right(self._seqs, seq) - 1
        while i > 0 and self._seqs[i] == self._seqs[i - 1]:
            i -= 1
        return self._offsets[max(i, 0)] if self._offsets else HEADER_BYTES

    def restart(self) -> None:
        """Forget every frame; they are taken anew."""
        self.end = HEADER_BYTES
        self.last_seq = self.first_seq - 1
        self.first_commit = self.last_commit = self.first_us = 0
        self.keys = {}
        self._seqs, self._offsets = array("Q"), array("Q")


class SegmentReader:
    """Reads one segment through a descriptor of its own, so that a deletion can't pull it away."""

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._fd = files.open(path)
        self.unreadable = 0
        """Bytes that the disk would not give."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._files.close(self._fd)

    def size(self) -> int:
        """Bytes in the file."""
        return self._files.size(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; a sector that the disk refuses reads as zeros."""
        try:
            data = self._pread(offset, size)
        except OSError:
            data = b"".join(
                self._sector(at, min(_SECTOR_BYTES - at % _SECTOR_BYTES, offset + size - at))
                for at in _sectors(offset, offset + size)
            )
        return data

    def scan(self, start: int, end: int) -> Iterator[Frame | Damage]:
        """Frames and damage of a range of the file."""
        return scan(self.read, start, end)

    def _pread(self, offset: int, size: int) -> bytes:
        data = self._files.pread(self._fd, size, offset)
        while len(data) < size:
            more = self._files.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def _sector(self, offset: int, size: int) -> bytes:
        try:
            return self._pread(offset, size)
        except OSError:
            self.unreadable += size
            return bytes(size)


def _sectors(start: int, end: int) -> Iterator[int]:
    yield start
    yield from range(start - start % _SECTOR_BYTES + _SECTOR_BYTES, end, _SECTOR_BYTES)
