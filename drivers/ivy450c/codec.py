"""The monitor's message, sent once a second and unasked ("ANSAR-B", 9600 8N1).

::

    FF  "ANSAR-B "  200 ECG  50 respiration  50 plethysmogram  50 P1  50 P2  lines  FE
    line = NAME "=" count ";" value x count ";" label ";" alarm CR

Curves are bytes below FE; lines are ASCII. ``count`` says how many values follow (an inference
from recorded messages, which all nine kinds of line bear out); a value that is not measured is
empty. There is no checksum, so everything that can be checked is: the name, where each part ends,
the count, and that no curve holds FE or FF.

Rules: any chunking gives the same messages; whatever arrives, memory is bounded by
:data:`MESSAGE_BYTES_MAX`; after damage the decoder finds the next FF; nothing raises. Damage is
reported beside the messages, in the order of arrival.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

BEGIN, END = 0xFF, 0xFE
NAME: Final = b"ANSAR-B "
ECG_SAMPLES, OTHER_SAMPLES = 200, 50
"""Per message, and so per second."""
CURVES_BYTES: Final = ECG_SAMPLES + 4 * OTHER_SAMPLES
HEAD_BYTES: Final = 1 + len(NAME)
TEXT_BYTES_MAX: Final = 1024
"""Of all lines: a recorded message has 152 bytes of them, with hardly a label or an alarm."""
MESSAGE_BYTES_MAX: Final = HEAD_BYTES + CURVES_BYTES + TEXT_BYTES_MAX + 1
LINES_MAX: Final = 32
VALUES_MAX: Final = 8

_LINE: Final = re.compile(r"([A-Z][A-Z0-9]{0,7})=([0-9]);(.*)")
_NOT_TEXT: Final = re.compile(rb"[^\x20-\x7e\r]")


class Line(NamedTuple):
    """One parameter: ``NIBP=4;121;75;92;80;;``."""

    name: str
    values: tuple[str, ...]
    """As sent; empty where nothing is measured."""
    label: str
    """The lead, a setting, the pulse rate beside SpO2 (``"PR=80 "``), or why there is no value."""
    alarm: str
    """The alarm's text; empty when there is none."""


class Curves(NamedTuple):
    """One second of each curve, a byte per sample."""

    ecg: bytes
    respiration: bytes
    pleth: bytes
    p1: bytes
    p2: bytes


class Message(NamedTuple):
    """One second of the monitor."""

    curves: Curves
    lines: tuple[Line, ...]


class Damage(NamedTuple):
    """Bytes that were no message.

    ``reason`` is ``noise`` (between messages), ``truncated`` (a new FF before FE, or FE too
    early), ``too_long``, ``name``, ``text`` (no ASCII) or ``line`` (not in the form above).
    """

    reason: str
    sample: bytes


class MessageDecoder:
    """Bytes in, messages and damage out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def pending(self) -> int:
        """Bytes held for an unfinished message; at most :data:`MESSAGE_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message | Damage]:
        """Take bytes as they arrived; return what they completed."""
        found: list[Message | Damage] = []
        buffer = self._buffer
        buffer += data
        position = 0
        while position < len(buffer):
            begin = buffer.find(BEGIN, position)
            if begin != position:
                until = begin if begin >= 0 else len(buffer)
                found.append(Damage("noise", _sample(buffer, position, until)))
                position = until
                continue
            again = buffer.find(BEGIN, begin + 1)
            end = buffer.find(END, begin + 1, again if again >= 0 else len(buffer))
            if end >= 0:
                found.append(decode(bytes(buffer[begin : end + 1])))
                position = end + 1
            elif again >= 0:
                found.append(Damage("truncated", _sample(buffer, begin, again)))
                position = again
            elif len(buffer) - begin > MESSAGE_BYTES_MAX:
                found.append(Damage("too_long", _sample(buffer, begin, len(buffer))))
                position = len(buffer)
            else:
                break
        del buffer[:position]
        return found


def decode(frame: bytes) -> Message | Damage:
    """One message, from its FF to its FE, or what is wrong with it."""
    text_from = HEAD_BYTES + CURVES_BYTES
    text = frame[text_from:-1]
    reason = ""
    if len(frame) > MESSAGE_BYTES_MAX:
        reason = "too_long"
    elif frame[1:HEAD_BYTES] != NAME:
        reason = "name"
    elif len(frame) <= text_from:
        reason = "truncated"
    elif _NOT_TEXT.search(text):
        reason = "text"
    if reason:
        return Damage(reason, frame[:MESSAGE_BYTES_MAX])
    lines = _lines(text.decode("ascii"))
    if not lines:
        return Damage("line", frame)
    return Message(_curves(frame[HEAD_BYTES:text_from]), lines)


def _lines(text: str) -> tuple[Line, ...]:
    """All lines; none if one of them is not in the form above."""
    *parts, rest = text.split("\r")
    lines = [_line(part) for part in parts if part]
    if rest or len(lines) > LINES_MAX:
        return ()
    known = tuple(line for line in lines if line is not None)
    return known if len(known) == len(lines) else ()


def _line(text: str) -> Line | None:
    found = _LINE.fullmatch(text)
    if found is None:
        return None
    name, count, rest = found[1], int(found[2]), found[3].split(";")
    if count > VALUES_MAX or len(rest) != count + 2:
        return None
    *values, label, alarm = rest
    return Line(name, tuple(values), label, alarm)


def _curves(data: bytes) -> Curves:
    parts = [data[:ECG_SAMPLES]]
    parts += (data[i : i + OTHER_SAMPLES] for i in range(ECG_SAMPLES, len(data), OTHER_SAMPLES))
    return Curves(*parts)


def encode(message: Message) -> bytes:
    """The bytes of a message; the monitor's side.

    Raises:
        ValueError: a curve or a line can't be sent like this.
    """
    text = "".join(
        f"{line.name}={len(line.values)};{';'.join((*line.values, line.label, line.alarm))}\r"
        for line in message.lines
    )
    frame = bytes((BEGIN,)) + NAME + b"".join(message.curves) + text.encode() + bytes((END,))
    if decode(frame) != message:
        raise ValueError("no message of the monitor's")
    return frame


def _sample(buffer: bytearray, begin: int, end: int) -> bytes:
    return bytes(buffer[begin : min(end, begin + MESSAGE_BYTES_MAX)])
