"""From a captured packet to what UDP or TCP carried in it.

Link layers by LINKTYPE: Ethernet (with VLAN tags), raw IP, and Linux "cooked" captures of either
version. IPv4 (RFC 791) and IPv6 with its extension headers (RFC 8200, 4). Fragments are not put
together: they are told, so that whoever plays knows that something is missing. Check sums are not
looked at: a capture on the sending host has them unfinished.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from firmware_sim.playback.pcap import Packet

LINKS: Final = {
    1: "Ethernet",
    12: "raw IP",
    14: "raw IP",
    101: "raw IP",
    113: "Linux cooked",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux cooked v2",
}
"""The link types that are read. 12 and 14 are what some systems write for 101."""
TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_IPV4, _IPV6 = 0x0800, 0x86DD
_VLAN: Final = {0x8100, 0x88A8, 0x9100}
_TAGS_MAX = 4
_EXTENSIONS: Final = {0, 43, 60}
"""Hop-by-hop options, routing, destination options."""
_FRAGMENT = 44
_EXTENSIONS_MAX = 8


class Address(NamedTuple):
    """An end of a conversation."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Segment(NamedTuple):
    """A UDP datagram or a TCP segment."""

    at_us: int
    protocol: int
    """TCP or UDP."""
    source: Address
    target: Address
    data: bytes
    cut: bool
    """The capture lacks its end."""
    sequence: int = 0
    flags: int = 0
    """Of TCP."""


class Skipped(NamedTuple):
    """A packet that carries nothing to be played; ``why`` is a word of a bounded set."""

    why: str


def read(packet: Packet) -> Segment | Skipped:
    """What a packet carried."""
    try:
        kind, at = _beyond_link(packet)
        if kind == _IPV4:
            return _ipv4(packet, at)
        if kind == _IPV6:
            return _ipv6(packet, at)
    except (struct.error, IndexError, ValueError):
        return Skipped("damaged")
    return Skipped("link type" if kind < 0 else "not IP")


def _beyond_link(packet: Packet) -> tuple[int, int]:
    """The EtherType, and where what it names begins; -1 for a link layer that is not read."""
    data, link = packet.data, packet.link
    match link:
        case 1:
            kind, at = struct.unpack_from(">H", data, 12)[0], 14
        case 113:
            kind, at = struct.unpack_from(">H", data, 14)[0], 16
        case 276:
            kind, at = struct.unpack_from(">H", data, 0)[0], 20
        case 12 | 14 | 101 | 228 | 229:
            return (_IPV6 if data[0] >> 4 == 6 else _IPV4), 0
        case _:
            return -1, 0
    for _ in range(_TAGS_MAX):
        if kind not in _VLAN:
            break
        kind, at = struct.unpack_from(">H", data, at + 2)[0], at + 4
    return kind, at


def _ipv4(packet: Packet, at: int) -> Segment | Skipped:
    data = packet.data
    total, fragment = struct.unpack_from(">H2xH", data, at + 2)
    header = (data[at] & 0x0F) * 4
    if header < 20:
        return Skipped("damaged")
    if fragment & 0x3FFF:  # more fragments, or an offset
        return Skipped("IP fragment")
    # 0 where the network card divides what the kernel gave it (segmentation offload).
    end = at + total if total else len(data)
    source, target = (str(ipaddress.IPv4Address(data[at + n : at + n + 4])) for n in (12, 16))
    return _payload(packet, data[at + 9], (source, target), at + header, end)


def _ipv6(packet: Packet, at: int) -> Segment | Skipped:
    data = packet.data
    length, following = struct.unpack_from(">HB", data, at + 4)
    source, target = (str(ipaddress.IPv6Address(data[at + n : at + n + 16])) for n in (8, 24))
    start = at + 40
    end = start + length if length else len(data)
    for _ in range(_EXTENSIONS_MAX):
        if following == _FRAGMENT:
            if struct.unpack_from(">H", data, start + 2)[0] & 0xFFF9:
                return Skipped("IP fragment")
            following, start = data[start], start + 8
        elif following in _EXTENSIONS:
            following, start = data[start], start + 8 + data[start + 1] * 8
        else:
            break
    return _payload(packet, following, (source, target), start, end)


def _payload(
    packet: Packet, protocol: int, hosts: tuple[str, str], at: int, end: int
) -> Segment | Skipped:
    data = packet.data
    if protocol not in (TCP, UDP):
        return Skipped("neither UDP nor TCP")
    source_port, target_port = struct.unpack_from(">HH", data, at)
    source, target = Address(hosts[0], source_port), Address(hosts[1], target_port)
    if protocol == UDP:
        (length,) = struct.unpack_from(">H", data, at + 4)
        if length < 8:
            return Skipped("damaged")
        start, end, sequence, flags = at + 8, at + length, 0, 0
    else:
        sequence, offset, flags = struct.unpack_from(">I4xBB", data, at + 4)
        start = at + (offset >> 4) * 4
        if start < at + 20 or end < start:
            return Skipped("damaged")
    cut = end > len(data)
    return Segment(packet.at_us, protocol, source, target, data[start:end], cut, sequence, flags)
