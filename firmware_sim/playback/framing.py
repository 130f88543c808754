"""What is put around pieces that were recorded without the framing of the line they are played on.

A LAN monitor's datagrams are the payloads of its serial frames; an HL7 file is one message without
MLLP's bytes around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from drivers.intellivue import framing as mib
from firmware_sim.playback.conversation import Conversation, Piece, Side
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Carrier

MLLP_START, MLLP_END = b"\x0b", b"\x1c\x0d"
"""HL7 Minimal Lower Layer Protocol, release 1, 2."""


_MESSAGES = re.compile(rb"(?m)^(?=MSH\|)")


def _mllp(message: bytes) -> bytes:
    return MLLP_START + message.strip(b"\r") + b"\r" + MLLP_END


FRAMINGS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "none": lambda payload: payload,
    "intellivue": mib.encode,
    "mllp": _mllp,
}
"""By the name that ``--frame`` takes."""


def framed(conversation: Conversation, name: str) -> Conversation:
    """The conversation as a stream of frames, one for each thing that was said.

    Raises:
        ConfigError: there is no such framing.
    """
    frame = FRAMINGS.get(name)
    if frame is None:
        raise ConfigError(f"--frame {name}: one of {', '.join(FRAMINGS)}")
    pieces = [piece for piece in conversation.pieces if piece.data]
    if name == "mllp" and conversation.carrier is Carrier.STREAM:
        pieces = _messages(pieces)
    try:
        made = tuple(piece._replace(data=frame(piece.data)) for piece in pieces)
    except ValueError as error:
        raise ConfigError(f"--frame {name}: {error}") from error
    return conversation._replace(carrier=Carrier.STREAM, pieces=made)


def _messages(pieces: list[Piece]) -> list[Piece]:
    """The messages of an HL7 file, each as one piece, and after each the turn of who answers it.

    Lines end as HL7 has it.
    """
    text = b"".join(piece.data for piece in pieces if piece.side is Side.DEVICE)
    text = text.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
    found = [each for each in _MESSAGES.split(text.replace(b"\r", b"\n")) if each.strip()]
    if not found or not all(each.startswith(b"MSH|") for each in found):
        raise ConfigError("--frame mllp: this is no HL7 message: it does not begin with MSH|")
    at_us = pieces[0].at_us
    return [
        piece
        for each in found
        for piece in (
            Piece(at_us, Side.DEVICE, each.replace(b"\n", b"\r")),
            Piece(at_us, Side.PEER, b"MSA"),
        )
    ]
