"""One direction of a TCP connection, put in order (RFC 9293, 3.4 and 3.10.7.4).

Segments come in the order in which they were captured: repeated, overlapping and out of order. A
hole is waited for, with a bound, and told when nothing fills it: nothing behind a hole comes out.
"""

from __future__ import annotations

from typing import Final

WAITING_BYTES_MAX: Final = 4 << 20
"""Behind a hole: more than any window that a device uses."""
_HALF = 1 << 31
_ALL = 1 << 32


class Stream:
    """Puts segments in order; ``add`` returns what is in order now."""

    def __init__(self) -> None:
        self._beginning: int | None = None
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}
        self._waiting_bytes = 0
        self.overflowed = False
        """So much waits behind a hole that later segments were dropped."""

    @property
    def missing(self) -> bool:
        """Whether there is a hole, and something behind it."""
        return bool(self._waiting) or self.overflowed

    def begin(self, sequence: int) -> None:
        """The SYN's number: the first byte has the next one."""
        self._beginning = sequence
        self._next = (sequence + 1) % _ALL

    def begun_by(self, sequence: int) -> bool:
        """Whether a SYN is a repetition of the one that began this."""
        return self._beginning == sequence

    def add(self, sequence: int, data: bytes) -> bytes:
        """Take a segment; what comes out is in order and new."""
        if not data:
            return b""
        if self._next is None:
            self._next = sequence  # the capture began later than the connection
        if _ahead(sequence, self._next) > 0:
            self._keep(sequence, data)
            return b""
        out = bytearray(self._fresh(sequence, data))
        while self._waiting:
            at = min(self._waiting, key=lambda each: _ahead(each, self._next or 0))
            if _ahead(at, self._next) > 0:
                break
            piece = self._waiting.pop(at)
            self._waiting_bytes -= len(piece)
            out += self._fresh(at, piece)
        return bytes(out)

    def _fresh(self, sequence: int, data: bytes) -> bytes:
        """The part of a segment that lies at or behind the next byte."""
        assert self._next is not None
        fresh = data[-_ahead(sequence, self._next) :] if sequence != self._next else data
        if -_ahead(sequence, self._next) >= len(data):
            return b""
        self._next = (self._next + len(fresh)) % _ALL
        return fresh

    def _keep(self, sequence: int, data: bytes) -> None:
        before = self._waiting.get(sequence, b"")
        if len(before) >= len(data):
            return
        if self._waiting_bytes + len(data) - len(before) > WAITING_BYTES_MAX:
            self.overflowed = True
            return
        self._waiting[sequence] = data
        self._waiting_bytes += len(data) - len(before)


def _ahead(sequence: int, of: int) -> int:
    """How far one number is ahead of another, modulo 2**32; negative when behind."""
    return (sequence - of + _HALF) % _ALL - _HALF
