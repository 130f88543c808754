"""The stream of curves: bytes from 80 on ("MEDIBUS Realtime-Extension").

A record begins with a sync byte ``D0 | mask``: its four bits say which of the streams 1 to 4 have a
value in it. Sync commands (``Cx`` and an argument ``Cx``) may follow: C4 and C5 say which of the
streams 5 to 12 have one, C6 that a breath's phase begins, CF that the record is damaged. Then come
the values, two bytes each with six bits, the lower ones first.

Rules: any chunking gives the same records; a byte that can't stand where it stands costs its
record, and what follows up to the next sync byte is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

SYNC, SYNC_COMMAND, VALUE = 0xD0, 0xC0, 0x80
STREAMS_5_8, STREAMS_9_12, CYCLE, CORRUPT = 0xC4, 0xC5, 0xC6, 0xCF
STREAMS_MAX: Final = 12
RECORD_BYTES_MAX: Final = 2 + 2 * 16 + 2 * STREAMS_MAX
"""One of each sync command, one of each value, and one byte too many."""


class Phase(Enum):
    """What a record may say besides values."""

    INSPIRATION = 0
    EXPIRATION = 1


class Values(NamedTuple):
    """One record: stream number (from 0) -> what it sampled."""

    samples: dict[int, int]
    phase: Phase | None


class Lost(NamedTuple):
    """A record that can't be read, or that the device calls damaged."""

    sample: bytes


class StreamDecoder:
    """Bytes in, records out."""

    def __init__(self) -> None:
        self._raw = bytearray()
        """The record's bytes; empty until its sync byte."""
        self._streams: list[int] = []
        self._phase: Phase | None = None
        self._command = 0
        """A sync command that waits for its argument."""
        self._halves: list[int] = []

    def pending(self) -> int:
        """Bytes held for an unfinished record; at most :data:`RECORD_BYTES_MAX`."""
        return len(self._raw)

    def feed(self, data: bytes) -> Iterator[Values | Lost]:
        """Take bytes as they arrived; the records that they completed."""
        for byte in data:
            if byte & 0xF0 == SYNC:
                if self._raw:
                    # Without values only the next record's beginning ends one.
                    yield self._end(whole=not self._streams and not self._command)
                self._raw.append(byte)
                self._streams = [stream for stream in range(4) if byte >> stream & 1]
            elif self._raw:
                self._raw.append(byte)
                if not self._takes(byte) or len(self._raw) >= RECORD_BYTES_MAX:
                    yield self._end(whole=False)
                elif self._streams and len(self._halves) == 2 * len(self._streams):
                    yield self._end(whole=True)

    def _takes(self, byte: int) -> bool:
        """Whether the byte may stand where it stands."""
        if byte & 0xC0 == VALUE:
            self._halves.append(byte & 0x3F)
            return bool(self._streams) and not self._command
        if byte & 0xF0 != SYNC_COMMAND or self._halves:
            return False
        command, self._command = self._command, 0 if self._command else byte
        match command:
            case 0:
                return byte != CORRUPT
            case 0xC4 | 0xC5:
                first = 4 if command == STREAMS_5_8 else 8
                self._streams += [first + bit for bit in range(4) if byte >> bit & 1]
            case 0xC6:
                self._phase = Phase(byte & 1)
        return True

    def _end(self, *, whole: bool) -> Values | Lost:
        found: Values | Lost = Lost(bytes(self._raw))
        if whole:
            pairs = zip(self._halves[::2], self._halves[1::2], strict=True)
            samples = dict(
                zip(self._streams, (low | high << 6 for low, high in pairs), strict=True)
            )
            found = Values(samples, self._phase)
        self._raw.clear()
        self._streams, self._phase, self._command, self._halves = [], None, 0, []
        return found


def encode_record(samples: dict[int, int], phase: Phase | None = None) -> bytes:
    """A record as a device sends it."""
    said = bytearray((SYNC | sum(1 << stream for stream in samples if stream < 4),))
    for command, first in ((STREAMS_5_8, 4), (STREAMS_9_12, 8)):
        mask = sum(1 << stream - first for stream in samples if first <= stream < first + 4)
        if mask:
            said += bytes((command, SYNC_COMMAND | mask))
    if phase is not None:
        said += bytes((CYCLE, SYNC_COMMAND | phase.value))
    for stream in sorted(samples):
        said += bytes((VALUE | samples[stream] & 0x3F, VALUE | samples[stream] >> 6 & 0x3F))
    return bytes(said)
