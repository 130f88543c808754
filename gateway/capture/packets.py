"""A recording as pcapng (draft-ietf-opsawg-pcapng-04), so that any analyser opens it.

What the gateway heard and said above TLS, or on a line, has no packets: they are made up. Each
session is a conversation of raw IPv4 between documentation addresses (RFC 5737): the device is
192.0.2.1, the gateway 198.51.100.1; ports are told from each other by the session's number. A
stream becomes TCP without check sums, datagrams UDP. Whoever connected is whoever connects here.
"""

from __future__ import annotations

import struct
from typing import IO, Final

from gateway.capture.form import RECEIVED, Came, Entry
from gateway.domain.ports import Carrier

DEVICE, GATEWAY = bytes((192, 0, 2, 1)), bytes((198, 51, 100, 1))
DEVICE_PORT, GATEWAY_PORT = 20_000, 40_000
PORTS = 20_000
PAYLOAD_BYTES_MAX: Final = 65_000
"""Of one segment: an IPv4 packet has 65,535."""
LINK_RAW: Final = 101
TCP, UDP = 6, 17
FIN, SYN, ACK = 0x01, 0x02, 0x10
_COMMENT: Final = 1


class _Conversation:
    def __init__(self, number: int, came: Came) -> None:
        self.datagrams = came.carrier is Carrier.DATAGRAMS
        self.ports = {
            True: DEVICE_PORT + number % PORTS,
            False: GATEWAY_PORT + number % PORTS,
        }
        self.next = {True: 1, False: 1}
        """The next byte's number, by whether it is the device's."""


class PacketWriter:
    """Writes one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._conversations: dict[int, _Conversation] = {}

    def begin(self, comment: str) -> None:
        """The section, with a comment, and its one interface."""
        text = comment.encode()
        option = struct.pack("<HH", _COMMENT, len(text)) + text + bytes(-len(text) % 4)
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + option + bytes(4)
        self._block(0x0A0D0D0A, section)
        self._block(1, struct.pack("<HHI", LINK_RAW, 0, 0))

    def up(self, entry: Entry, came: Came) -> None:
        """A session came, or was there before."""
        made = self._conversations[entry.session] = _Conversation(entry.session, came)
        opener = not came.asked
        if made.datagrams:
            self._packet(entry.at_us, made, b"", device=opener)
        elif came.before:
            self._packet(entry.at_us, made, b"", device=opener, flags=ACK)
        else:
            self._packet(entry.at_us, made, b"", device=opener, flags=SYN, back=1)
            self._packet(entry.at_us, made, b"", device=not opener, flags=SYN | ACK, back=1)

    def down(self, entry: Entry) -> None:
        """A session has ended."""
        made = self._conversations.pop(entry.session, None)
        if made is not None and not made.datagrams:
            self._packet(entry.at_us, made, b"", device=True, flags=FIN | ACK)

    def said(self, entry: Entry) -> None:
        """One of the two said something."""
        made = self._conversations.get(entry.session)
        if made is None:
            return
        device = entry.what == RECEIVED
        step = len(entry.data) if made.datagrams else PAYLOAD_BYTES_MAX
        for at in range(0, len(entry.data), max(1, step)):
            data = entry.data[at : at + step]
            self._packet(entry.at_us, made, data, device=device, flags=ACK)

    def _packet(  # the fields of one
        self,
        at_us: int,
        made: _Conversation,
        data: bytes,
        *,
        device: bool,
        flags: int = 0,
        back: int = 0,
    ) -> None:
        source, target = made.ports[device], made.ports[not device]
        if made.datagrams:
            protocol, head = UDP, struct.pack(">HHHH", source, target, 8 + len(data), 0)
        else:
            protocol = TCP
            sequence = (made.next[device] - back) % 2**32
            answered = made.next[not device] % 2**32 if flags & ACK else 0
            head = struct.pack(
                ">HHIIBBHHH", source, target, sequence, answered, 5 << 4, flags, 65535, 0, 0
            )
            made.next[device] += len(data)
        ends = DEVICE + GATEWAY if device else GATEWAY + DEVICE
        total = 20 + len(head) + len(data)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, total, 0, 0x4000, 64, protocol, 0) + ends
        packet = ip + head + data
        stamp = struct.pack("<IIIII", 0, at_us >> 32, at_us & 0xFFFFFFFF, len(packet), len(packet))
        self._block(6, stamp + packet)

    def _block(self, kind: int, body: bytes) -> None:
        body += bytes(-len(body) % 4)
        size = struct.pack("<I", 12 + len(body))
        self._file.write(struct.pack("<I", kind) + size + body + size)
