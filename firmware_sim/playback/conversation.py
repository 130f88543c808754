"""What a recording holds: conversations of a device with whoever asked it, in the order of time."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gateway.domain.ports import Carrier


class Side(Enum):
    """Who said it."""

    DEVICE = "device"
    PEER = "peer"
    """Who asked the device then; its part is played by the gateway now."""


class Piece(NamedTuple):
    """Bytes that came at once; never empty."""

    at_us: int
    """Microseconds since the Unix epoch, or since the recording began where it has no times."""
    side: Side
    data: bytes


class Conversation(NamedTuple):
    """One connection, one opening of a line, or what two addresses sent each other."""

    carrier: Carrier
    device: str
    """Name or address, for people."""
    peer: str
    pieces: tuple[Piece, ...]
    whole: bool = True
    """It was seen from its first byte on."""

    @property
    def seconds(self) -> float:
        """From the first piece to the last."""
        return (self.pieces[-1].at_us - self.pieces[0].at_us) / 1e6 if self.pieces else 0.0

    def bytes_of(self, side: Side) -> int:
        """How many bytes one side said."""
        return sum(len(piece.data) for piece in self.pieces if piece.side is side)

    def turned(self) -> Conversation:
        """The same, with the other end as the device."""
        other = {Side.DEVICE: Side.PEER, Side.PEER: Side.DEVICE}
        pieces = tuple(piece._replace(side=other[piece.side]) for piece in self.pieces)
        return self._replace(device=self.peer, peer=self.device, pieces=pieces)
