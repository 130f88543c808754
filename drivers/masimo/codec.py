"""Masimo's serial output "ASCII 1" (9600 8N1): one line a second, unasked.

::

    02/22/16 22:47:45 SN=0000056661 SPO2=098% BPM=097 PI=03.60% ... ALARM=0000 EXC=000800 CR LF

Month, day and year, time of the oximeter's clock, then ``NAME=value`` in an order and number that
depend on the model. A value that is not measured has dashes for digits (``---``, ``--.-``,
``+--``). ALARM and EXC are hexadecimal, of a width that depends on the model, too.

There is no checksum, so everything that can be checked is: the form of each part, that no name
stands twice, and that SPO2, BPM and EXC are there.

Rules: any chunking gives the same readings; whatever arrives, memory is bounded by
:data:`LINE_BYTES_MAX`; damage costs its line; nothing raises.
"""

from __future__ import annotations

import re
from enum import IntFlag
from typing import Final, NamedTuple

LINE_BYTES_MAX: Final = 512
"""The longest known line, a Radical-7's, has about 190."""
FIELDS_MAX: Final = 32
REQUIRED: Final = frozenset(("SPO2", "BPM", "EXC"))

_HEAD: Final = re.compile(r"(\d\d)/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)")
_FIELD: Final = re.compile(r"([A-Z][A-Z0-9]{1,8})=([0-9A-Fa-f.+-]{1,16})%?")
_NOT_MEASURED: Final = re.compile(r"[+-]?-+(\.-+)?")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{1,8}")
_END: Final = re.compile(rb"[\r\n]")


class Exceptions(IntFlag):
    """Bits of EXC (Rad-8 operator's manual, "trend data format")."""

    NO_SENSOR = 0x001
    DEFECTIVE_SENSOR = 0x002
    LOW_PERFUSION = 0x004
    PULSE_SEARCH = 0x008
    INTERFERENCE = 0x010
    SENSOR_OFF = 0x020
    AMBIENT_LIGHT = 0x040
    UNRECOGNISED_SENSOR = 0x080
    LOW_SIGNAL_IQ = 0x400
    SET = 0x800
    """Nothing is wrong: the full algorithm runs."""


class Reading(NamedTuple):
    """One line."""

    time: tuple[int, int, int, int, int, int]
    """Year, month, day, hour, minute, second of the oximeter's clock: as sent, perhaps no date."""
    values: dict[str, str]
    """Name -> digits; without those that are not measured."""
    exceptions: Exceptions
    alarms: int
    """ALARM; 0 where the line has none."""


class Damage(NamedTuple):
    """A line that is no reading; ``reason`` is ``too_long``, ``text``, ``head`` or ``field``."""

    reason: str
    sample: bytes


class LineDecoder:
    """Bytes in, readings and damage out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skipping = False

    def pending(self) -> int:
        """Bytes held for an unfinished line; at most :data:`LINE_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Reading | Damage]:
        """Take bytes as they arrived; return what they completed."""
        found: list[Reading | Damage] = []
        *ended, rest = _END.split(data)
        for part in ended:
            self._take(part, found)
            if self._buffer:
                found.append(decode(bytes(self._buffer)))
            self._buffer.clear()
            self._skipping = False
        self._take(rest, found)
        return found

    def _take(self, part: bytes, found: list[Reading | Damage]) -> None:
        if self._skipping:
            return
        room = LINE_BYTES_MAX - len(self._buffer)
        self._buffer += part[:room]
        if len(part) > room:
            found.append(Damage("too_long", bytes(self._buffer)))
            self._buffer.clear()
            self._skipping = True


def decode(line: bytes) -> Reading | Damage:
    """One line, without its end."""
    if not line.isascii():
        return Damage("text", line)
    text = line.decode("ascii")
    head = _HEAD.match(text)
    if head is None:
        return Damage("head", line)
    fields = _fields(text[head.end() :].split())
    if fields is None:
        return Damage("field", line)
    month, day, year, *clock = map(int, head.groups())
    hour, minute, second = clock
    measured = {n: v for n, v in fields.items() if not _NOT_MEASURED.fullmatch(v)}
    exceptions = Exceptions(int(measured.pop("EXC"), 16))
    alarms = int(measured.pop("ALARM", "0"), 16)
    return Reading((2000 + year, month, day, hour, minute, second), measured, exceptions, alarms)


def _fields(parts: list[str]) -> dict[str, str] | None:
    """Name -> value; None if a part is no field, or one is missing."""
    fields: dict[str, str] = {}
    for part in parts:
        found = _FIELD.fullmatch(part)
        if found is None or found[1] in fields or len(fields) == FIELDS_MAX:
            return None
        fields[found[1]] = found[2]
    whole = fields.keys() >= REQUIRED
    hexadecimal = (fields.get(name, "0") for name in ("EXC", "ALARM"))
    return fields if whole and all(map(_HEX.fullmatch, hexadecimal)) else None
