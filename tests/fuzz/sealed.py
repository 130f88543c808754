"""Checksums put right: where one would keep every damaged frame out, nothing behind it is tried."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable
from typing import Final

from drivers.datex_s5 import framing as datex
from drivers.intellivue import framing as intellivue


def _datex(data: bytes) -> bytes:
    """Records between double flags, each with its length and its checksum."""
    frames = b""
    for part in data.split(b"\x7e\x7e"):
        record = part[: datex.RECORD_BYTES_MAX]
        if len(record) > 1:
            record = struct.pack("<h", len(record)) + record[2:]
        frames += datex.encode(record)
    return frames


def _intellivue(data: bytes) -> bytes:
    """Payloads between double flags, each with its length and its FCS."""
    parts = data.split(b"\xc0\xc0")
    return b"".join(intellivue.encode(part[: intellivue.PAYLOAD_BYTES_MAX]) for part in parts)


def _alaris(data: bytes) -> bytes:
    """Lines, each with its CRC."""
    return b"".join(b"!%s|%04X\r" % (p, binascii.crc_hqx(p, 0xFFFF)) for p in data.split(b"\r"))


def _fresenius(data: bytes) -> bytes:
    """What stands between ETX, each with its checksum."""
    parts = data.split(b"\x03")
    return b"".join(b"\x02%s%02X\x03" % (part, 0xFF - (sum(part) & 0xFF)) for part in parts)


SEALS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "alaris": _alaris,
    "datex_s5": _datex,
    "fresenius": _fresenius,
    "intellivue": _intellivue,
}
"""By driver: an input -> frames that pass."""
