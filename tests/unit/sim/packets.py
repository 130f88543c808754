"""Packets and capture files, written by hand: what the readers must read."""

from __future__ import annotations

import ipaddress
import struct

TCP, UDP = 6, 17
SYN, FIN, ACK = 2, 1, 16


def udp(source: str, target: str, payload: bytes) -> bytes:
    """An IP packet around a datagram; addresses as ``host:port``."""
    (a, source_port), (b, target_port) = ends(source), ends(target)
    head = struct.pack(">HHHH", source_port, target_port, 8 + len(payload), 0)
    return ip(a, b, UDP, head + payload)


def tcp(source: str, target: str, sequence: int, payload: bytes = b"", flags: int = ACK) -> bytes:
    """An IP packet around a segment."""
    (a, source_port), (b, target_port) = ends(source), ends(target)
    head = struct.pack(
        ">HHIIBBHHH", source_port, target_port, sequence % 2**32, 0, 5 << 4, flags, 8192, 0, 0
    )
    return ip(a, b, TCP, head + payload)


def ends(words: str) -> tuple[str, int]:
    host, _, port = words.rpartition(":")
    return host.strip("[]"), int(port)


def ip(source: str, target: str, protocol: int, payload: bytes, fragment: int = 0) -> bytes:
    a, b = ipaddress.ip_address(source), ipaddress.ip_address(target)
    if a.version == 6:
        return (
            struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
            + a.packed
            + b.packed
            + payload
        )
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return head + a.packed + b.packed + payload


def ethernet(packet: bytes, *tags: int) -> bytes:
    """A frame, with VLAN tags and the padding that short frames have."""
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    head = bytes(12) + b"".join(struct.pack(">HH", 0x8100, tag) for tag in tags)
    return (head + struct.pack(">H", kind) + packet).ljust(60, b"\0")


def cooked(packet: bytes) -> bytes:
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return bytes(14) + struct.pack(">H", kind) + packet


def cooked_2(packet: bytes) -> bytes:
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    return struct.pack(">H", kind) + bytes(18) + packet


def pcap(frames: list[bytes], link: int = 1, order: str = "<", ticks: int = 1_000_000) -> bytes:
    """A classic file; frames are 10 ms apart, from second 100 on."""
    magic = 0xA1B2C3D4 if ticks == 1_000_000 else 0xA1B23C4D
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for number, frame in enumerate(frames):
        fraction = number * ticks // 100
        out += struct.pack(order + "IIII", 100, fraction, len(frame), len(frame)) + frame
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(
    frames: list[bytes], link: int = 1, order: str = "<", options: bytes = b"", digits: int = 6
) -> bytes:
    """A section with one interface, blocks that nobody needs, and enhanced packets."""
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(order, 1, struct.pack(order + "HHI", link, 0, 65535) + options)
    out += block(order, 0x0BAD, b"somebody's own")
    for number, frame in enumerate(frames):
        at = (100 * 100 + number) * 10**digits // 100
        head = struct.pack(order + "IIIII", 0, at >> 32, at & 0xFFFFFFFF, len(frame), len(frame))
        out += block(order, 6, head + frame)
    return out + block(order, 5, bytes(12))


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
