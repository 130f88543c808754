"""The recorded exchange with a real monitor, read without any packet library."""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import pytest

_ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "captures/intellivue"
MONITOR = "10.0.42.9"
CONNECT_INDICATION_PORT = 24005

needs_capture = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs captures/intellivue beside the checkout (WARDGATE_SHARED)"
)


class Datagram(NamedTuple):
    number: int
    source: str
    source_port: int
    payload: bytes


def datagrams() -> list[Datagram]:
    """Every UDP datagram of the capture; number is the packet's, from 1."""
    data = (SHARED / "intellivue_enumeration.pcapng").read_bytes()
    found, number, offset = [], 0, 0
    while offset < len(data):
        kind, length = struct.unpack_from("<II", data, offset)
        if kind == 6:  # enhanced packet block
            number += 1
            (captured,) = struct.unpack_from("<I", data, offset + 20)
            packet = data[offset + 28 : offset + 28 + captured]
            if packet[12:14] == b"\x08\x00" and packet[23] == 17:
                udp = 14 + (packet[14] & 15) * 4
                port, _, size = struct.unpack_from(">HHH", packet, udp)
                source = ".".join(map(str, packet[26:30]))
                found.append(Datagram(number, source, port, packet[udp + 8 : udp + size]))
        offset += length
    return found


def hex_lines(name: str) -> list[bytes]:
    """The payloads of one of the hex files; ``#`` starts a comment."""
    lines = (SHARED / name).read_text().splitlines()
    return [bytes.fromhex(line) for line in lines if line and not line.startswith("#")]


def nomenclature(name: str) -> dict[int, str]:
    """Code -> name of one of the tables of names and decimal codes."""
    names = {}
    for line in (SHARED / "nomenclature" / name).read_text().splitlines():
        match line.split():
            case [word, number] if word.startswith("NOM_") and number.isdecimal():
                names[int(number)] = word
    return names
