"""Bytes of a MEDIBUS line <-> messages (Draeger RS 232 MEDIBUS, protocol definition, rev. 6.00).

A command is ``ESC code argument checksum CR``, a response the same with SOH in front and the code
of the command that it answers; the checksum is the sum of all bytes before it, in two hexadecimal
digits. Bytes from 80 on are another stream: curves, which may stand between any two bytes of a
message (:mod:`drivers.medibus.realtime`). DC3 and DC1 suspend and resume what we send; CAN aborts a
message.

Rules: any chunking gives the same messages; whatever arrives, memory is bounded by
:data:`MESSAGE_BYTES_MAX`; a damaged message costs itself alone; nothing raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

SOH, ETX, CR, ESC = 0x01, 0x03, 0x0D, 0x1B
DC1, DC3, CAN = 0x11, 0x13, 0x18

MESSAGE_BYTES_MAX: Final = 4096
"""A response with every measurement that is defined has about 1500 bytes."""
REALTIME_FIRST: Final = 0x80


class Code(IntEnum):
    """Commands, of either side."""

    CORRUPT = 0x15
    """In a response: the command was damaged."""
    DATA_1 = 0x24
    LOW_LIMITS_1 = 0x25
    HIGH_LIMITS_1 = 0x26
    ALARMS_1 = 0x27
    DATE_TIME = 0x28
    SETTINGS = 0x29
    TEXTS = 0x2A
    DATA_2 = 0x2B
    LOW_LIMITS_2 = 0x2C
    HIGH_LIMITS_2 = 0x2D
    ALARMS_2 = 0x2E
    NO_OPERATION = 0x30
    TIME_CHANGED = 0x49
    INITIALISE = 0x51
    IDENTIFY = 0x52
    CURVES = 0x53
    """Which curves there are."""
    SEND_CURVES = 0x54
    """Which of them to send: what is transmitted, and nothing else, depends on it."""
    STOP = 0x55
    CURVES_CHANGED = 0x56


class Command(NamedTuple):
    """What one side wants of the other."""

    code: int
    argument: bytes


class Response(NamedTuple):
    """The answer; without a body it says that the command is understood, or unknown."""

    code: int
    body: bytes


class Damage(NamedTuple):
    """Bytes that were no message.

    ``reason`` is ``noise`` (between messages), ``truncated`` (a new message before CR),
    ``too_long``, ``length`` or ``checksum``.
    """

    reason: str
    sample: bytes
    command: bool = False
    """Whether it began as a command, which must be told that it was damaged."""


class Realtime(NamedTuple):
    """Bytes of the other stream, in order."""

    data: bytes


Found = Command | Response | Damage | Realtime


def checksum(data: bytes) -> bytes:
    r"""Two digits.

    >>> checksum(b"\x1bQ")
    b'6C'
    """
    return b"%02X" % (sum(data) & 0xFF)


def encode(message: Command | Response) -> bytes:
    """A message as it is sent."""
    match message:
        case Command(code, rest):
            body = bytes((ESC, code)) + rest
        case Response(code, rest):
            body = bytes((SOH, code)) + rest
    return body + checksum(body) + bytes((CR,))


class Decoder:
    """Bytes in, messages and curves out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        """From ESC or SOH on; or noise, until one comes."""
        self.suspended = False
        """Whether the device wants us to send nothing."""

    def pending(self) -> int:
        """Bytes held for an unfinished message; at most the limit."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Found]:
        """Take bytes as they arrived; what they completed."""
        realtime = bytearray()
        for byte in data:
            if byte >= REALTIME_FIRST:
                realtime.append(byte)
                continue
            found = self._slow(byte)
            if found is not None:
                if realtime:
                    yield Realtime(bytes(realtime))
                    realtime.clear()
                yield found
        if realtime:
            yield Realtime(bytes(realtime))

    def _slow(self, byte: int) -> Command | Response | Damage | None:
        buffer = self._buffer
        found: Command | Response | Damage | None = None
        if byte in (DC1, DC3):
            self.suspended = byte == DC3
        elif byte == CAN:
            buffer.clear()
        elif byte in (ESC, SOH):
            found = self._give_up("truncated") if buffer else None
            buffer.append(byte)
        elif byte == CR and buffer and buffer[0] in (ESC, SOH):
            found = _open(bytes(buffer))
            buffer.clear()
        else:
            buffer.append(byte)
            if byte == CR or len(buffer) >= MESSAGE_BYTES_MAX:
                found = self._give_up("too_long")
        return found

    def _give_up(self, reason: str) -> Damage | None:
        sample = bytes(self._buffer)
        self._buffer.clear()
        if sample[0] not in (ESC, SOH):
            # A CR between messages is nobody's loss.
            return Damage("noise", sample) if sample.strip(b"\r\n") else None
        return Damage(reason, sample)


def _open(message: bytes) -> Command | Response | Damage:
    """What stands from ESC or SOH to CR."""
    command = message[0] == ESC
    if len(message) < 4:
        return Damage("length", message, command)
    content, check = message[:-2], message[-2:]
    if checksum(content) != check.upper():
        return Damage("checksum", message, command)
    return Command(message[1], content[2:]) if command else Response(message[1], content[2:])
