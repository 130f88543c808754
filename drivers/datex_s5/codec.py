"""Records of the Datex Record Interface (DRI): header, numbers, curves, alarms.

All numbers are little-endian. A record begins with 40 bytes::

    i16 length  u8 number  u8 level  u16 plug id  u32 time  4 reserved  i16 main type
    8 x (i16 offset, u8 type)      offsets count from the end of the header; type FF ends the list

Sources: the specification as it is quoted by public implementations, which agree on what is used
here; see README.md.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from drivers.datex_s5.framing import RECORD_BYTES_MAX
from gateway.domain.errors import MalformedError

HEADER: Final = struct.Struct("<hBBHI4xh")
DESCRIPTOR: Final = struct.Struct("<hB")
SUBRECORDS_MAX: Final = 8
HEADER_BYTES: Final = HEADER.size + SUBRECORDS_MAX * DESCRIPTOR.size
END_OF_LIST: Final = 0xFF

PHYSIOLOGICAL_BYTES: Final = 278
DATA_BYTES: Final = 270
CURVE_HEAD: Final = struct.Struct("<hHH")
ALARM_HEAD: Final = struct.Struct("<hhhhh")
ALARM_ENTRY: Final = struct.Struct("<80shhh12x")
ALARMS_SHOWN: Final = 5
ALARM_BYTES: Final = ALARM_HEAD.size + ALARMS_SHOWN * ALARM_ENTRY.size + 10


class MainType(IntEnum):
    """What a record holds."""

    PHYSIOLOGICAL = 0
    WAVE = 1
    ALARM = 4


class PhysiologicalType(IntEnum):
    """Of a physiological subrecord."""

    REQUEST = 0
    DISPLAYED = 1
    TREND_10_S = 2
    TREND_60_S = 3


class DataClass(IntEnum):
    """Which 270 bytes a physiological subrecord holds."""

    BASIC = 0
    EXTENSION_1 = 1
    EXTENSION_2 = 2
    EXTENSION_3 = 3


class Physiological(NamedTuple):
    """One class of numbers at one time."""

    kind: int
    """A PhysiologicalType."""
    time_s: int
    """The monitor's wall clock, counted as if it were UTC."""
    data_class: int
    """A DataClass; there may be others."""
    data: bytes
    """Its 270 bytes."""


class Curve(NamedTuple):
    """A stretch of one curve."""

    kind: int
    status: int
    samples: tuple[int, ...]


class ShownAlarm(NamedTuple):
    """One of the alarm messages on the screen."""

    text: str
    colour: int
    """0 none, 1 white, 2 yellow, 3 red."""


class AlarmStatus(NamedTuple):
    """All alarm messages on the screen."""

    sound_on: bool
    silence: int
    """What is silenced at the bedside; 0 nothing."""
    alarms: tuple[ShownAlarm, ...]
    """Those that are lit, the gravest first."""


Subrecord = Physiological | Curve | AlarmStatus


class Record(NamedTuple):
    """One record; subrecords of other main types are left out."""

    number: int
    level: int
    time_s: int
    main_type: int
    subrecords: tuple[Subrecord, ...]


def decode(record: bytes) -> Record:
    """A record of the monitor's.

    Raises:
        MalformedError: ``length``, ``offset`` or ``subrecord``.
    """
    if len(record) < HEADER_BYTES:
        raise MalformedError("length", f"{len(record)} bytes")
    length, number, level, _, time_s, main_type = HEADER.unpack_from(record)
    if length != len(record):
        raise MalformedError("length", f"{len(record)} bytes, {length} stated")
    reader = _READERS.get(main_type)
    found: list[Subrecord] = []
    if reader is not None:
        data = memoryview(record)[HEADER_BYTES:]
        for offset, kind in _descriptors(record):
            if not 0 <= offset < len(data):
                raise MalformedError("offset", f"{offset} of {len(data)}")
            found.append(reader(kind, data[offset:]))
    return Record(number, level, time_s, main_type, tuple(found))


def _descriptors(record: bytes) -> list[tuple[int, int]]:
    found = []
    for place in range(HEADER.size, HEADER_BYTES, DESCRIPTOR.size):
        offset, kind = DESCRIPTOR.unpack_from(record, place)
        if kind == END_OF_LIST:
            break
        found.append((offset, kind))
    return found


def _physiological(kind: int, data: memoryview) -> Physiological:
    if len(data) < PHYSIOLOGICAL_BYTES:
        raise MalformedError("subrecord", f"{len(data)} bytes of numbers")
    (time_s,) = struct.unpack_from("<I", data)
    (marks,) = struct.unpack_from("<H", data, PHYSIOLOGICAL_BYTES - 2)
    return Physiological(kind, time_s, marks >> 8 & 0xF, bytes(data[4 : 4 + DATA_BYTES]))


def _curve(kind: int, data: memoryview) -> Curve:
    if len(data) < CURVE_HEAD.size:
        raise MalformedError("subrecord", f"{len(data)} bytes of a curve")
    count, status, _ = CURVE_HEAD.unpack_from(data)
    if not 0 <= count <= (len(data) - CURVE_HEAD.size) // 2:
        raise MalformedError("subrecord", f"{count} samples in {len(data)} bytes")
    return Curve(kind, status, struct.unpack_from(f"<{count}h", data, CURVE_HEAD.size))


def _alarms(kind: int, data: memoryview) -> AlarmStatus:
    del kind
    if len(data) < ALARM_BYTES:
        raise MalformedError("subrecord", f"{len(data)} bytes of alarms")
    _, sound_on, _, _, silence = ALARM_HEAD.unpack_from(data)
    shown = []
    for place in range(ALARM_HEAD.size, ALARM_BYTES - 10, ALARM_ENTRY.size):
        text, _, colour, _ = ALARM_ENTRY.unpack_from(data, place)
        if colour:
            words = text.split(b"\0", 1)[0].decode("latin-1")
            shown.append(ShownAlarm(" ".join(words.split()), colour))
    return AlarmStatus(bool(sound_on), silence, tuple(shown))


_READERS: Final[dict[int, Callable[[int, memoryview], Subrecord]]] = {
    MainType.PHYSIOLOGICAL: _physiological,
    MainType.WAVE: _curve,
    MainType.ALARM: _alarms,
}


def encode(
    main_type: int, subrecords: tuple[tuple[int, bytes], ...], *, number: int = 0, time_s: int = 0
) -> bytes:
    """A record of (type, content) pairs, as both sides send them.

    Raises:
        ValueError: too many, or too long.
    """
    length = HEADER_BYTES + sum(len(content) for _, content in subrecords)
    if len(subrecords) > SUBRECORDS_MAX or length > RECORD_BYTES_MAX:
        raise ValueError(f"{len(subrecords)} subrecords in {length} bytes")
    offset, table = 0, b""
    for kind, content in subrecords:
        table += DESCRIPTOR.pack(offset, kind)
        offset += len(content)
    if len(subrecords) < SUBRECORDS_MAX:
        table += DESCRIPTOR.pack(0, END_OF_LIST)
    head = HEADER.pack(length, number & 0xFF, 0, 0, time_s, main_type)
    return (
        head
        + table.ljust(HEADER_BYTES - HEADER.size, b"\0")
        + b"".join(content for _, content in subrecords)
    )
