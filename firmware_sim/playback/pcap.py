"""Packets out of capture files: classic pcap and pcapng. Bytes in, packets out.

After draft-ietf-opsawg-pcap-06 and draft-ietf-opsawg-pcapng-04, both orders of bytes. Of a pcapng
file the interface descriptions and the packets (enhanced, simple, and the obsolete packet block)
are read; every other block is passed over. What ends in the middle of a packet or a block is
refused, for nobody can tell what is missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

PACKET_BYTES_MAX: Final = 262_144
"""The largest snapshot length that libpcap's tools use."""
BLOCK_BYTES_MAX: Final = 16 << 20
INTERFACES_MAX: Final = 1024
PCAP_MAGIC: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1_000_000),
    b"\xa1\xb2\xc3\xd4": (">", 1_000_000),
    b"\x4d\x3c\xb2\xa1": ("<", 1_000_000_000),
    b"\xa1\xb2\x3c\x4d": (">", 1_000_000_000),
}
"""The first four bytes -> order of bytes, ticks per second."""
PCAPNG_MAGIC: Final = b"\x0a\x0d\x0d\x0a"

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_BYTE_ORDER: Final = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_TSRESOL, _TSOFFSET = 9, 14


class Packet(NamedTuple):
    """One packet, as it was captured."""

    at_us: int
    """Microseconds since the Unix epoch; 0 where the file has no time for it."""
    link: int
    """LINKTYPE_…, see :mod:`firmware_sim.playback.network`."""
    data: bytes
    cut: bool
    """The capture kept only its beginning."""


def is_capture(head: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return head[:4] in PCAP_MAGIC or head[:4] == PCAPNG_MAGIC


def packets(content: bytes) -> Iterator[Packet]:
    """Every packet of a capture file.

    Raises:
        MalformedError: ``pcap``: it is none, or damaged; the detail says where.
    """
    if content[:4] == PCAPNG_MAGIC:
        return _pcapng(content)
    if content[:4] in PCAP_MAGIC:
        return _pcap(content)
    raise MalformedError("pcap", "neither pcap nor pcapng")


def _pcap(content: bytes) -> Iterator[Packet]:
    order, ticks = PCAP_MAGIC[content[:4]]
    header = struct.Struct(order + "IIII")
    if len(content) < 24:
        raise MalformedError("pcap", "the file's header is cut off")
    (link,) = struct.unpack_from(order + "I", content, 20)
    at = 24
    while at < len(content):
        if at + header.size > len(content):
            raise MalformedError("pcap", f"cut off in the packet at byte {at}")
        seconds, fraction, captured, original = header.unpack_from(content, at)
        end = at + header.size + captured
        if captured > PACKET_BYTES_MAX or end > len(content):
            raise MalformedError("pcap", f"cut off or damaged in the packet at byte {at}")
        at_us = seconds * 1_000_000 + fraction * 1_000_000 // ticks
        # The upper half says whether frames end in a check sequence, which IP's length ignores.
        yield Packet(at_us, link & 0xFFFF, content[end - captured : end], captured < original)
        at = end


class _Interface(NamedTuple):
    link: int
    snapshot_bytes: int
    ticks: int
    """Per second."""
    offset_s: int


def _pcapng(content: bytes) -> Iterator[Packet]:
    at, order = 0, ""
    interfaces: list[_Interface] = []
    while at < len(content):
        kind = content[at : at + 4]
        if kind == PCAPNG_MAGIC:
            order = _BYTE_ORDER.get(content[at + 8 : at + 12], "")
            interfaces = []
        if not order or at + 12 > len(content):
            raise MalformedError("pcap", f"no block at byte {at}")
        number, size = struct.unpack_from(order + "II", content, at)
        if size < 12 or size % 4 or size > BLOCK_BYTES_MAX or at + size > len(content):
            raise MalformedError("pcap", f"cut off or damaged in the block at byte {at}")
        if struct.unpack_from(order + "I", content, at + size - 4)[0] != size:
            raise MalformedError("pcap", f"the block at byte {at} has two lengths")
        body = content[at + 8 : at + size - 4]
        try:
            if number == _INTERFACE:
                if len(interfaces) >= INTERFACES_MAX:
                    raise MalformedError("pcap", "too many interfaces")
                interfaces.append(_interface(order, body))
            elif number in (_ENHANCED, _SIMPLE, _OLD_PACKET):
                yield _packet(order, number, body, interfaces)
        except (struct.error, IndexError) as error:
            raise MalformedError("pcap", f"the block at byte {at} says nothing usable") from error
        at += size


def _interface(order: str, body: bytes) -> _Interface:
    link, _, snapshot_bytes = struct.unpack_from(order + "HHI", body)
    ticks, offset_s, at = 1_000_000, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == 0:
            break
        if code == _TSRESOL:
            power = value[0] & 0x7F
            if power > (63 if value[0] & 0x80 else 18):
                raise MalformedError("pcap", f"a clock of {power} digits")
            ticks = 2**power if value[0] & 0x80 else 10**power
        elif code == _TSOFFSET:
            (offset_s,) = struct.unpack(order + "q", value)
        at += 4 + size + -size % 4
    return _Interface(link, snapshot_bytes, ticks, offset_s)


def _packet(order: str, number: int, body: bytes, interfaces: list[_Interface]) -> Packet:
    at_us, at = 0, 20
    if number == _SIMPLE:
        (original,) = struct.unpack_from(order + "I", body)
        face, at = interfaces[0], 4
        captured = min(original, face.snapshot_bytes or original, len(body) - at)
    else:
        layout = "IIIII" if number == _ENHANCED else "HxxIIII"
        index, high, low, captured, original = struct.unpack_from(order + layout, body)
        face = interfaces[index]
        at_us = (high << 32 | low) * 1_000_000 // face.ticks + face.offset_s * 1_000_000
    if captured > PACKET_BYTES_MAX or at + captured > len(body):
        raise MalformedError("pcap", "a packet is longer than its block")
    return Packet(at_us, face.link, body[at : at + captured], captured < original)
