r"""Bytes of a Fresenius pump's line <-> frames (19200 7E1).

A frame is ``STX [address] command [; arguments] checksum ETX``; the checksum, two hexadecimal
digits, is FF less the sum of all characters between STX and itself. Addresses are those of the
modules of a base: 0 the base itself, 1 and on its modules; a pump by itself has none. An answer has
a status for its command: C correct, I incorrect (its argument says why), E and M for what the pump
says unasked. Between frames: ACK, NAK with a code, and ENQ, by which the pump asks whether somebody
is there, who says DC4.

Rules:

- **What we say is** :data:`FRAMES`, four control characters **and nothing else**: every question to
  every address, made once, when this module is imported. There is no function that makes a frame,
  so there is none that could make another one.
- Any chunking gives the same frames; whatever arrives, memory is bounded by
  :data:`FRAME_BYTES_MAX`; damage costs its frame; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

STX, ETX, ENQ, ACK, DC4, NAK = 0x02, 0x03, 0x05, 0x06, 0x14, 0x15

FRAME_BYTES_MAX: Final = 128
"""STX to ETX; the protocol has messages of at most 80 characters."""
MODULES_MAX: Final = 8
"""Of a base (Base Intensive; two bases together have more, whose addresses nobody published)."""
BASE: Final = 0


class Query(Enum):
    """All that is ever asked of a pump: a session is opened and closed, values are read.

    A session is no remote control: the command that takes control (MO) is not here, nor is any
    that sets something.
    """

    OPEN = b"DC"
    CLOSE = b"FC"
    VARIABLES = b"LE;ademr"
    """Alarm, rate, error, mode, infused volume."""
    RATE_AND_VOLUME = b"LE;dr"
    """Of a pump that knows no more."""
    DRUG = b"LP"


ADDRESSES: Final = (None, *range(MODULES_MAX + 1))
FRAMES: Final[Mapping[tuple[Query, int | None], bytes]] = MappingProxyType(
    {
        (query, address): b"\x02%s%02X\x03" % (body, 0xFF - (sum(body) & 0xFF))
        for query in Query
        for address in ADDRESSES
        for body in (query.value if address is None else b"%d%s" % (address, query.value),)
    }
)
"""Every frame that can be sent."""
IS_HERE: Final = bytes((DC4,))
TAKEN: Final = bytes((ACK,))
DAMAGED: Final = bytes((NAK, 0x32))
"""NAK and the code of an incorrect checksum."""

CORRECT, INCORRECT, TOLD = "C", "I", "E"

_BODY: Final = re.compile(rb"([0-9]?)([A-Z]{1,2})(?:;([\x20-\x7e]*))?")
_CODES: Final = range(0x31, 0x39)


class Frame(NamedTuple):
    """A frame whose checksum is right, of either direction."""

    address: int | None
    head: str
    """A command, or an answer's status."""
    arguments: str | None
    raw: bytes
    """STX to ETX, as they came."""


class Damage(NamedTuple):
    """Bytes that are no frame.

    ``reason`` is ``noise`` (between frames), ``truncated`` (another one began within it),
    ``too_long``, ``control`` (a control character in it), ``form`` or ``checksum``.
    """

    reason: str
    sample: bytes


class Enquiry(NamedTuple):
    """ENQ: is somebody there?"""


class Acknowledged(NamedTuple):
    """ACK."""


class Refused(NamedTuple):
    """NAK: a frame was not understood, or can't be taken now."""

    code: int
    """1 to 8; 0 where none was said."""


Found = Frame | Damage | Enquiry | Acknowledged | Refused
_CONTROLS: Final[Mapping[int, Found]] = MappingProxyType({ENQ: Enquiry(), ACK: Acknowledged()})


class FrameDecoder:
    """Bytes in, frames and what stands between them out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        """From STX on; or noise, until one comes."""
        self._refused = False
        """A NAK whose code may follow."""
        self._skipping = False
        """Of something that is too long, which was told: until something else begins."""

    def pending(self) -> int:
        """Bytes held for an unfinished frame; at most :data:`FRAME_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Found]:
        """Take bytes as they arrived; what they completed."""
        for byte in data:
            if self._refused:
                self._refused = False
                code = byte - 0x30 if byte in _CODES else 0
                yield Refused(code)
                if code:
                    continue
            yield from self._take(byte)

    def _take(self, byte: int) -> Iterator[Found]:
        buffer = self._buffer
        if byte == ETX and buffer[:1] == b"\x02":
            whole = bytes((*buffer, byte))
            buffer.clear()
            yield _found(whole)
        elif byte in (STX, NAK) or byte in _CONTROLS:
            self._skipping = False
            if buffer:
                yield self._give_up("truncated" if byte == STX else "control")
            if byte == STX:
                buffer.append(byte)
            elif byte == NAK:
                self._refused = True
            else:
                yield _CONTROLS[byte]
        elif not self._skipping:
            buffer.append(byte)
            if len(buffer) >= FRAME_BYTES_MAX:
                self._skipping = True
                yield self._give_up("too_long")

    def _give_up(self, reason: str) -> Damage:
        sample = bytes(self._buffer)
        self._buffer.clear()
        return Damage(reason if sample[0] == STX else "noise", sample)


def _found(whole: bytes) -> Frame | Damage:
    try:
        return decode(whole)
    except MalformedError as error:
        return Damage(error.reason, whole)


def decode(whole: bytes) -> Frame:
    r"""A frame from STX to ETX.

    >>> decode(bytes.fromhex("02314c453b6472324303"))[:3]
    (1, 'LE', 'dr')

    Raises:
        MalformedError: ``form`` or ``checksum``.
    """
    body, check = whole[1:-3], whole[-3:-1]
    if len(whole) < 5 or whole[0] != STX or whole[-1] != ETX:
        raise MalformedError("form", f"{len(whole)} bytes")
    if check.upper() != b"%02X" % (0xFF - (sum(body) & 0xFF)):
        raise MalformedError("checksum", f"{len(whole)} bytes")
    found = _BODY.fullmatch(body)
    if found is None:
        raise MalformedError("form", f"{len(whole)} bytes")
    arguments = None if found[3] is None else found[3].decode("ascii")
    address = int(found[1]) if found[1] else None
    return Frame(address, found[2].decode("ascii"), arguments, whole)
