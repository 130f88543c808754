"""From packets to conversations: who spoke with whom, which end is the device, what is missing.

A conversation is a TCP connection, or everything that two UDP addresses sent each other. The end
that began it is taken for the device; :meth:`Conversation.turned` is the other view, for devices
that are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from firmware_sim.playback import network
from firmware_sim.playback.conversation import Conversation, Piece, Side
from firmware_sim.playback.network import FIN, RST, SYN, TCP, Address, Segment, Skipped
from firmware_sim.playback.pcap import Packet
from firmware_sim.playback.reassembly import Stream
from gateway.domain.ports import Carrier

CONVERSATIONS_MAX: Final = 10_000

_Ends = tuple[int, Address, Address]


class Found(NamedTuple):
    """A conversation, and whether all of it is there."""

    conversation: Conversation
    lacks: str
    """What keeps it from being played; empty when nothing does."""


class Gathered(NamedTuple):
    """What a capture holds."""

    found: tuple[Found, ...]
    """In the order in which they began; without those in which nothing was said."""
    skipped: Counter[str]
    """Packets that carry nothing to be played, by why."""


class _Growing:
    """A conversation of which more may come."""

    def __init__(self, first: Segment) -> None:
        self.protocol = first.protocol
        self.begun_by = first.source
        self.other = first.target
        if first.protocol == TCP and first.flags & SYN and first.flags & network.ACK:
            self.begun_by, self.other = self.other, self.begun_by
        self.pieces: list[Piece] = []
        self.cut = False
        self.ended = False
        self.whole = first.protocol != TCP or bool(first.flags & SYN)
        self.streams = {Side.DEVICE: Stream(), Side.PEER: Stream()}

    def add(self, segment: Segment) -> None:
        side = Side.DEVICE if segment.source == self.begun_by else Side.PEER
        data, sequence = segment.data, segment.sequence
        self.cut = self.cut or segment.cut
        if self.protocol == TCP:
            stream = self.streams[side]
            if segment.flags & SYN and not stream.begun_by(sequence):
                stream.begin(sequence)
            data = stream.add(sequence + bool(segment.flags & SYN), data)
            self.ended = self.ended or bool(segment.flags & (FIN | RST))
        if data:
            self.pieces.append(Piece(segment.at_us, side, data))

    def succeeded_by(self, segment: Segment) -> bool:
        """Whether a segment opens another connection between the same two ends."""
        if self.protocol != TCP or not segment.flags & SYN or segment.flags & network.ACK:
            return False
        return not self.streams[Side.DEVICE].begun_by(segment.sequence)

    def found(self) -> Found:
        carrier = Carrier.STREAM if self.protocol == TCP else Carrier.DATAGRAMS
        made = Conversation(
            carrier, str(self.begun_by), str(self.other), tuple(self.pieces), self.whole
        )
        return Found(made, self._lacks())

    def _lacks(self) -> str:
        if self.cut:
            return "packets were cut off when they were captured (a snapshot length)"
        if any(stream.missing for stream in self.streams.values()):
            return "segments of the connection are missing from the capture"
        if any(_encrypted(piece.data, self.protocol) for piece in self.pieces[:_HEAD]):
            return "it is encrypted (TLS), and only its two ends have the keys"
        return ""


_HEAD = 4
"""Pieces that are looked at."""


def _encrypted(data: bytes, protocol: int) -> bool:
    """Whether bytes begin as a record of TLS (RFC 8446, 5.1) or DTLS (RFC 6347, 4.1) does."""
    versions = {b"\x03\x01", b"\x03\x02", b"\x03\x03"}
    if protocol != TCP:
        versions = {b"\xfe\xff", b"\xfe\xfd"}
    return len(data) > 2 and 20 <= data[0] <= 23 and data[1:3] in versions


def gather(packets: Iterable[Packet]) -> Gathered:
    """Put the packets of a capture together."""
    growing: dict[_Ends, _Growing] = {}
    all_of: list[_Growing] = []
    skipped: Counter[str] = Counter()
    for packet in packets:
        segment = network.read(packet)
        if isinstance(segment, Skipped):
            skipped[segment.why] += 1
            continue
        low, high = sorted((segment.source, segment.target))
        ends = segment.protocol, low, high
        present = growing.get(ends)
        if present is None or present.succeeded_by(segment):
            if len(all_of) >= CONVERSATIONS_MAX:
                skipped["too many conversations"] += 1
                continue
            present = growing[ends] = _Growing(segment)
            all_of.append(present)
        present.add(segment)
    found = (each.found() for each in all_of if each.pieces)
    return Gathered(tuple(found), skipped)
