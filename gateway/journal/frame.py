"""Frames: how one committed group lies in a segment. Bytes in, frames out; no I/O.

Layout (little-endian), also in docs/journal-format.md:

    offset  size  field
    0       4     magic "WGF1"
    4       4     CRC-32 of the header from offset 8 to its end
    8       1     version (1)
    9       1     lane
    10      2     header length, strings included
    12      4     body length
    16      4     CRC-32 of the sealed body
    20      4     number of records
    24      8     epoch
    32      8     commit number: grows over both lanes, one per attempt to commit
    40      8     sequence number of the first record
    48      8     time of the commit, microseconds since 1970
    56      1     length of the policy version
    57      1     length of the key id
    58      …     policy version (UTF-8), key id (ASCII), then the sealed body

Rules:
- The header's CRC is checked before any of its fields is believed.
- A scan that meets anything else than a frame looks for the next magic whose header CRC
  holds; what it passed over is damage. A sealed body can't imitate a frame but by chance
  (2^-64 per position).
- What is authenticated with the body (AAD): the log's id and every field that has a meaning,
  so that a frame can't be moved, re-labelled or carried to another log.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple
from zlib import crc32

from gateway.journal.config import FRAME_BODY_BYTES_MAX

MAGIC = b"WGF1"
VERSION = 1
_FIXED = struct.Struct("<4sIBBHIIIQQQqBB")
_CHECKED = struct.Struct("<BBHIIIQQQqBB")
_AAD = struct.Struct("<BIQQQq")
HEADER_BYTES_MIN = _FIXED.size
HEADER_BYTES_MAX = _FIXED.size + 2 * 255
_WINDOW_BYTES = 1 << 20


class Stamp(NamedTuple):
    """What a frame says of itself and what its seal covers."""

    lane: int
    epoch: int
    commit: int
    first_seq: int
    records: int
    committed_us: int
    policy_version: str

    @property
    def last_seq(self) -> int:
        """Below ``first_seq`` when the frame holds no record (only state)."""
        return self.first_seq + self.records - 1

    def aad(self, log_id: bytes) -> bytes:
        """The bytes that the seal authenticates beside the body."""
        return (
            log_id
            + _AAD.pack(
                self.lane,
                self.records,
                self.epoch,
                self.commit,
                self.first_seq,
                self.committed_us,
            )
            + self.policy_version.encode()
        )


class Header(NamedTuple):
    """A frame's header, once its CRC held."""

    stamp: Stamp
    key_id: str
    header_bytes: int
    body_bytes: int
    body_crc: int

    @property
    def frame_bytes(self) -> int:
        return self.header_bytes + self.body_bytes


class Frame(NamedTuple):
    """A whole frame found by a scan."""

    offset: int
    header: Header
    sealed: bytes

    @property
    def end(self) -> int:
        return self.offset + self.header.frame_bytes


class Damage(NamedTuple):
    """Bytes ``start..end`` (exclusive) that are part of no frame."""

    start: int
    end: int


def encode_frame(stamp: Stamp, key_id: str, sealed: bytes) -> bytes:
    """Lay out one frame.

    Raises:
        ValueError: a field that does not fit the layout.
    """
    policy, key = stamp.policy_version.encode(), key_id.encode("ascii")
    if len(policy) > 255 or not 0 < len(key) <= 255:
        raise ValueError("policy version or key id of a length that a frame can't hold")
    if len(sealed) > FRAME_BODY_BYTES_MAX:
        raise ValueError("a group of more bytes than a frame can hold")
    checked = (
        _CHECKED.pack(
            VERSION,
            stamp.lane,
            HEADER_BYTES_MIN + len(policy) + len(key),
            len(sealed),
            crc32(sealed),
            stamp.records,
            stamp.epoch,
            stamp.commit,
            stamp.first_seq,
            stamp.committed_us,
            len(policy),
            len(key),
        )
        + policy
        + key
    )
    return b"".join((MAGIC, crc32(checked).to_bytes(4, "little"), checked, sealed))


def decode_header(buffer: bytes, at: int = 0) -> Header | None:
    """The header at ``at``, or None when there is none whose CRC holds."""
    if len(buffer) - at < HEADER_BYTES_MIN:
        return None
    (magic, crc, version, lane, size, body_bytes, body_crc, count, *rest) = _FIXED.unpack_from(
        buffer, at
    )
    epoch, commit, first_seq, committed_us, policy_bytes, key_bytes = rest
    if (
        magic != MAGIC
        or version != VERSION
        or size != HEADER_BYTES_MIN + policy_bytes + key_bytes
        or len(buffer) - at < size
        or crc32(buffer[at + 8 : at + size]) != crc
        or body_bytes > FRAME_BODY_BYTES_MAX
    ):
        return None
    strings = at + HEADER_BYTES_MIN
    policy = buffer[strings : strings + policy_bytes].decode()
    key_id = buffer[strings + policy_bytes : at + size].decode("ascii")
    stamp = Stamp(lane, epoch, commit, first_seq, count, committed_us, policy)
    return Header(stamp, key_id, size, body_bytes, body_crc)


class _Window:
    """A sliding view of a file, read in large pieces."""

    def __init__(self, read: Callable[[int, int], bytes], end: int) -> None:
        self._read = read
        self._end = end
        self._base = 0
        self._buffer = b""

    def get(self, at: int, size: int) -> bytes:
        """Bytes ``at..at+size``, cut at the end of the scanned range."""
        size = min(size, self._end - at)
        if at < self._base or at + size > self._base + len(self._buffer):
            self._buffer = self._read(at, min(max(size, _WINDOW_BYTES), self._end - at))
            self._base = at
        start = at - self._base
        return self._buffer[start : start + size]


def scan(read: Callable[[int, int], bytes], start: int, end: int) -> Iterator[Frame | Damage]:
    """Walk the frames of ``start..end``, yielding also what is none, in order of position.

    Args:
        read: ``read(offset, size)`` returns the bytes there.
        start: where the first frame should begin.
        end: the scanned range's end, usually the file's.
    """
    window = _Window(read, end)
    at = start
    while at < end:
        frame = _frame_at(window, at)
        if frame is not None:
            yield frame
            at = frame.end
            continue
        following = _resynchronise(window, at + 1, end)
        yield Damage(at, following)
        at = following


def _frame_at(window: _Window, at: int) -> Frame | None:
    header = decode_header(window.get(at, HEADER_BYTES_MAX))
    if header is None:
        return None
    sealed = window.get(at + header.header_bytes, header.body_bytes)
    if len(sealed) != header.body_bytes or crc32(sealed) != header.body_crc:
        return None
    return Frame(at, header, sealed)


def _resynchronise(window: _Window, at: int, end: int) -> int:
    """Where the next frame begins whose header is whole; ``end`` if there is none."""
    while at < end:
        piece = window.get(at, _WINDOW_BYTES)
        found = piece.find(MAGIC)
        if found < 0:
            # The magic may lie across two pieces.
            if len(piece) <= len(MAGIC):
                return end
            at += len(piece) - len(MAGIC) + 1
            continue
        if decode_header(window.get(at + found, HEADER_BYTES_MAX)) is not None:
            return at + found
        at += found + 1
    return end
