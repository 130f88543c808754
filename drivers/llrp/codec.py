"""LLRP 1.0.1: bytes <-> messages; the messages themselves are ``llrpkit``'s.

Rules:

- A frame is a header of ten bytes and what it announces, at most ``MESSAGE_BYTES_MAX``. A
  header that can't be one ends the stream: TCP loses nothing, so nothing behind it makes sense. A
  frame whose inside is damaged costs itself alone.
- What ``llrpkit`` raises ends here. It follows nested parameters by recursion, which a peer can
  drive to Python's limit: that, too, is a damaged frame.
- Tags are read, never written, and no output is switched: only the messages of ``SAYABLE`` can be
  encoded, and nothing within them commands a tag or an output. So no AccessSpec can be added or
  enabled.
- Parameters that are not known (another vendor's Custom ones among them) are kept as bytes by
  ``llrpkit`` and mean nothing here. A TV parameter that is not known makes its frame unreadable,
  since it doesn't say its length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from llrpkit.exceptions import LLRPError
from llrpkit.protocol import LLRPMessage, decode_message, impinj, messages

from gateway.domain.errors import MalformedError

HEADER_BYTES: Final = 10
MESSAGE_BYTES_MAX: Final = 128 * 1024
"""A reader's capabilities take 2 to 20 KiB, a report 50 bytes a tag. To decode so much takes a
tenth of a second."""
VERSIONS: Final = (1, 2)
"""1.0.1 and 1.1; nothing is negotiated, so a reader speaks 1.0.1."""
RESERVED: Final = 0xE0
SAMPLE_BYTES_MAX: Final = 1024

SAYABLE: Final[tuple[type[LLRPMessage], ...]] = (
    messages.GET_READER_CAPABILITIES,
    messages.GET_READER_CONFIG,
    messages.SET_READER_CONFIG,
    messages.GET_ROSPECS,
    messages.ADD_ROSPEC,
    messages.ENABLE_ROSPEC,
    messages.START_ROSPEC,
    messages.DELETE_ROSPEC,
    messages.DELETE_ACCESSSPEC,
    messages.ENABLE_EVENTS_AND_REPORTS,
    messages.KEEPALIVE_ACK,
    messages.CLOSE_CONNECTION,
    impinj.IMPINJ_ENABLE_EXTENSIONS,
)
"""All that a reader is ever told."""


class Damage(NamedTuple):
    """A frame that can't be understood."""

    reason: str
    sample: bytes
    fatal: bool
    """Nothing that follows in this stream can be understood either."""


class Decoder:
    """One direction of one connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._broken = False

    def pending(self) -> int:
        """Bytes kept of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[LLRPMessage | Damage]:
        """Bytes in any chunks -> what is complete; nothing any more behind a fatal damage."""
        if self._broken:
            return
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= HEADER_BYTES:
                try:
                    length = announced(self._buffer[at : at + HEADER_BYTES])
                except MalformedError as error:
                    self._broken = True
                    sample = bytes(self._buffer[at : at + SAMPLE_BYTES_MAX])
                    yield Damage(error.reason, sample, fatal=True)
                    return
                if len(self._buffer) - at < length:
                    return
                frame = bytes(self._buffer[at : at + length])
                at += length
                try:
                    message = decode(frame)
                except MalformedError as error:
                    yield Damage(error.reason, frame[:SAMPLE_BYTES_MAX], fatal=False)
                else:
                    yield message
        finally:
            del self._buffer[: len(self._buffer) if self._broken else at]


def announced(header: bytes | bytearray) -> int:
    """How long the frame is that begins with these ten bytes.

    Raises:
        MalformedError: no message of ours begins so.
    """
    if header[0] & RESERVED:
        raise MalformedError("reserved_bits")
    version = header[0] >> 2 & 7
    if version not in VERSIONS:
        raise MalformedError("version", str(version))
    length = int.from_bytes(header[2:6], "big")
    if not HEADER_BYTES <= length <= MESSAGE_BYTES_MAX:
        raise MalformedError("length", str(length))
    return length


def decode(frame: bytes) -> LLRPMessage:
    """One whole frame -> its message.

    Raises:
        MalformedError: it is none.
    """
    if len(frame) < HEADER_BYTES or announced(frame[:HEADER_BYTES]) != len(frame):
        raise MalformedError("length", f"of {len(frame)} bytes")
    try:
        return decode_message(frame)
    except RecursionError as error:
        raise MalformedError("nesting") from error
    except (LLRPError, ValueError) as error:
        raise MalformedError("parameter", type(error).__name__) from error


def encode(message: LLRPMessage, message_id: int) -> bytes:
    """A message of ours -> its frame.

    Raises:
        ValueError: it is none of :data:`SAYABLE`, it switches an output, or a value does not fit.
    """
    if type(message) not in SAYABLE:
        raise ValueError(f"{type(message).__name__} is never said to a reader")
    if isinstance(message, messages.SET_READER_CONFIG) and message.gpo_write_datas:
        raise ValueError("no output of a reader is switched")
    try:
        return message.to_bytes(message_id)
    except LLRPError as error:
        raise ValueError(str(error)) from error
