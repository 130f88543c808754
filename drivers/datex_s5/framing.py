"""Frames of the S/5 serial interface (19200 8E1): ``7E record checksum 7E``.

Between the flags 7E is sent as 7D 5E and 7D as 7D 5D; the checksum is the sum of the record's
bytes before that, modulo 256.

Rules: any chunking gives the same records; whatever arrives, memory is bounded by
:data:`FRAME_BYTES_MAX`; after damage the decoder goes on at the next flag; nothing raises. Two
frames may share a flag. Damage is reported beside the records, in the order of arrival.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
RECORD_BYTES_MAX: Final = 1490
"""40 of header, 1450 of data (DRI)."""
FRAME_BYTES_MAX: Final = 2 + 2 * (RECORD_BYTES_MAX + 1)
"""Every byte escaped, and the two flags."""
_FLAG: Final = bytes((FLAG,))
_ESCAPE: Final = bytes((ESCAPE,))


class Damage(NamedTuple):
    """Bytes that were no frame.

    ``reason`` is ``noise`` (before the first flag), ``too_long``, ``escape`` or ``checksum``.
    """

    reason: str
    sample: bytes


def encode(record: bytes) -> bytes:
    """One frame around ``record``.

    Raises:
        ValueError: longer than :data:`RECORD_BYTES_MAX`.
    """
    if len(record) > RECORD_BYTES_MAX:
        raise ValueError(f"record of {len(record)} bytes")
    body = record + bytes((sum(record) & 0xFF,))
    for byte in (ESCAPE, FLAG):  # the escape itself comes first
        body = body.replace(bytes((byte,)), bytes((ESCAPE, byte ^ FLIP)))
    return _FLAG + body + _FLAG


class FrameDecoder:
    """Bytes in, records and damage out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._flagged = False
        """A flag has been seen, so that what follows is a frame."""
        self._skipping = False
        """What follows up to the next flag belongs to a frame that was too long."""

    def pending(self) -> int:
        """Bytes held for an unfinished frame; at most :data:`FRAME_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | Damage]:
        """Take bytes as they arrived; return what they completed."""
        found: list[bytes | Damage] = []
        *ended, rest = data.split(_FLAG)
        for part in ended:
            self._take(part, found)
            if not self._flagged:
                if self._buffer:
                    found.append(Damage("noise", bytes(self._buffer)))
                self._flagged = True
            elif self._buffer and not self._skipping:
                found.append(_open(bytes(self._buffer)))
            self._buffer.clear()
            self._skipping = False
        self._take(rest, found)
        if self._buffer and not self._flagged:
            found.append(Damage("noise", bytes(self._buffer)))
            self._buffer.clear()
        return found

    def _take(self, part: bytes, found: list[bytes | Damage]) -> None:
        if self._skipping:
            return
        room = FRAME_BYTES_MAX - len(self._buffer)
        self._buffer += part[:room]
        if len(part) > room:
            found.append(Damage("too_long", bytes(self._buffer)))
            self._buffer.clear()
            self._skipping = True


def _open(body: bytes) -> bytes | Damage:
    """The record of what stood between two flags."""
    record = body
    if _ESCAPE in body:
        first, *rest = body.split(_ESCAPE)
        if not all(rest):
            return Damage("escape", body)
        record = first + b"".join(bytes((part[0] ^ FLIP,)) + part[1:] for part in rest)
    if sum(record[:-1]) & 0xFF != record[-1]:
        return Damage("checksum", body)
    if len(record) > RECORD_BYTES_MAX + 1:
        return Damage("too_long", body)
    return record[:-1]
