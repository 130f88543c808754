"""Frames of the fixed-baud-rate protocol (Data Export guide, "Transport Protocols", MIB/RS232).

``C0 | 11 01 length(2, BE) payload | FCS(2, LE) | C1``. Between C0 and C1 the bytes C0, C1 and
7D are sent as 7D followed by the byte XOR 20. The FCS is CRC-16/X-25 over header and payload.
A frame that ends in ``7D C1`` was aborted by its sender.

Rules: any chunking gives the same frames; whatever arrives, memory is bounded by
:data:`FRAME_BYTES_MAX`; after damage the decoder finds the next C0; nothing raises. Damage is
reported beside the good frames, in the order of arrival, so that it can be counted and kept.
"""

from __future__ import annotations

from binascii import crc_hqx
from typing import NamedTuple

BEGIN, END, ESCAPE, FLIP = 0xC0, 0xC1, 0x7D, 0x20
PROTOCOL_ID, MESSAGE_TYPE = 0x11, 0x01
HEADER_BYTES, FCS_BYTES = 4, 2

PAYLOAD_BYTES_MAX = 2048
"""The guide allows 1364 bytes per message on this interface, a real monitor's LAN side asked
for 1456; a little more, so that a newer one is not cut off."""
FRAME_BYTES_MAX = 2 + 2 * (HEADER_BYTES + PAYLOAD_BYTES_MAX + FCS_BYTES)
"""Every byte escaped, and the two flags."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_ESCAPES = {byte: bytes((ESCAPE, byte ^ FLIP)) for byte in (ESCAPE, BEGIN, END)}


class Damage(NamedTuple):
    """Bytes that were no frame.

    ``reason`` is ``noise`` (between frames), ``truncated`` (a new C0 before C1), ``aborted``,
    ``too_long``, ``escape``, ``length``, ``fcs`` or ``protocol`` (another header).
    """

    reason: str
    sample: bytes


def fcs(data: bytes) -> int:
    """CRC-16/X-25, as a number; on the wire the low byte comes first.

    The reflected CRC is the bit-reversed plain one over bit-reversed bytes, and the plain one
    is in the standard library in C.
    """
    plain = crc_hqx(data.translate(_REVERSED), 0xFFFF)
    return (_REVERSED[plain & 0xFF] << 8 | _REVERSED[plain >> 8]) ^ 0xFFFF


def encode(payload: bytes) -> bytes:
    """One frame around ``payload``.

    Raises:
        ValueError: longer than :data:`PAYLOAD_BYTES_MAX`.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"payload of {len(payload)} bytes")
    return wrap(bytes((PROTOCOL_ID, MESSAGE_TYPE)) + len(payload).to_bytes(2, "big") + payload)


def wrap(content: bytes) -> bytes:
    """Flags, FCS and escapes around ``content`` (header and payload)."""
    body = content + fcs(content).to_bytes(2, "little")
    for byte, escaped in _ESCAPES.items():  # the escape itself comes first
        body = body.replace(bytes((byte,)), escaped)
    return bytes((BEGIN,)) + body + bytes((END,))


class FrameDecoder:
    """Bytes in, payloads and damage out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def pending(self) -> int:
        """Bytes held for an unfinished frame; at most :data:`FRAME_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes | Damage]:
        """Take bytes as they arrived; return what they completed."""
        found: list[bytes | Damage] = []
        buffer = self._buffer
        buffer += data
        position = 0
        while position < len(buffer):
            begin = buffer.find(BEGIN, position)
            if begin != position:
                end_of_noise = begin if begin >= 0 else len(buffer)
                found.append(Damage("noise", _sample(buffer, position, end_of_noise)))
                position = end_of_noise
                continue
            end = buffer.find(END, begin + 1)
            again = buffer.find(BEGIN, begin + 1, end if end >= 0 else len(buffer))
            if again >= 0:
                found.append(Damage("truncated", _sample(buffer, begin, again)))
                position = again
            elif end >= 0:
                found.append(_open(bytes(buffer[begin + 1 : end])))
                position = end + 1
            elif len(buffer) - begin > FRAME_BYTES_MAX:
                found.append(Damage("too_long", _sample(buffer, begin, len(buffer))))
                position = len(buffer)
            else:
                break
        del buffer[:position]
        return found


def _sample(buffer: bytearray, begin: int, end: int) -> bytes:
    return bytes(buffer[begin : min(end, begin + FRAME_BYTES_MAX)])


def _open(body: bytes) -> bytes | Damage:
    """The payload of what stood between two flags."""
    content = body
    if ESCAPE in body:
        first, *rest = body.split(b"\x7d")
        if not all(rest):
            return Damage("escape" if rest[-1] else "aborted", body)
        content = first + b"".join(bytes((part[0] ^ FLIP,)) + part[1:] for part in rest)
    reason = _wrong_with(content)
    return Damage(reason, body) if reason else content[HEADER_BYTES:-FCS_BYTES]


def _wrong_with(content: bytes) -> str:
    if len(content) < HEADER_BYTES + FCS_BYTES:
        return "length"
    if fcs(content[:-FCS_BYTES]) != int.from_bytes(content[-FCS_BYTES:], "little"):
        return "fcs"
    if content[0] != PROTOCOL_ID or content[1] != MESSAGE_TYPE:
        return "protocol"
    length = len(content) - HEADER_BYTES - FCS_BYTES
    if length != int.from_bytes(content[2:4], "big") or length > PAYLOAD_BYTES_MAX:
        return "length"
    return ""
