"""Where each number stands in the 270 bytes of a class (DRI, "physiological database").

A group is a header (u32 status, u16 label) and signed 16-bit values. Bit 0 of every status says
that the module is there, bit 1 that it measures. Only the groups that are read are named; the
others are gaps of known size, so that each class adds up to 270 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from drivers.datex_s5.codec import DATA_BYTES, DataClass, Physiological

PRESENT, ACTIVE = 0x1, 0x2
HEADER_BYTES: Final = 6
_VALUES: Final = struct.Struct(f"<{DATA_BYTES // 2}h")
_GROUP_HEAD: Final = struct.Struct("<IH")


class Group(NamedTuple):
    """One measurement's place."""

    name: str
    offset: int
    fields: tuple[str, ...]
    headed: bool = True


class Measured(NamedTuple):
    """One group's content."""

    name: str
    status: int
    label: int
    values: dict[str, int]

    @property
    def active(self) -> bool:
        """Whether the module is there and measures."""
        return self.status & (PRESENT | ACTIVE) == PRESENT | ACTIVE


_PRESSURE: Final = "sys dia mean hr"
_GAS: Final = "et fi"

_CLASSES: Final[dict[DataClass, tuple[tuple[str, str, int], ...]]] = {
    # name ("" for a gap), fields, bytes
    DataClass.BASIC: (
        ("ecg", "hr st1 st2 st3 imp_rr", 16),
        ("p1", _PRESSURE, 14),
        ("p2", _PRESSURE, 14),
        ("p3", _PRESSURE, 14),
        ("p4", _PRESSURE, 14),
        ("nibp", _PRESSURE, 14),
        ("t1", "temp", 8),
        ("t2", "temp", 8),
        ("t3", "temp", 8),
        ("t4", "temp", 8),
        ("spo2", "spo2 pr ir_amp so2", 14),
        ("co2", "et fi rr amb", 14),
        ("o2", _GAS, 10),
        ("n2o", _GAS, 10),
        ("aa", "et fi mac", 12),
        ("flow", "rr ppeak peep pplat tv_insp tv_exp compliance mv_exp", 22),
        ("co", "co blood_temp ref pcwp", 14),
        ("nmt", "t1 ratio ptc", 12),
        ("ecg_extra", "hr_ecg hr_max hr_min", 6),
        ("svo2", "svo2", 8),
        ("p5", _PRESSURE, 14),
        ("p6", _PRESSURE, 14),
        ("", "", 2),
    ),
    DataClass.EXTENSION_1: (
        ("arrhythmia", "hr rr_time pvc", 48),
        ("ecg12", "I II III AVL AVR AVF V1 V2 V3 V4 V5 V6", 30),
        ("p7", _PRESSURE, 14),
        ("p8", _PRESSURE, 14),
        ("spo2_2", "spo2 pr ir_amp so2", 14),
        ("t5", "temp", 8),
        ("t6", "temp", 8),
        ("", "", 134),
    ),
    DataClass.EXTENSION_2: (
        ("", "", 24),
        ("", "", 72),
        ("bis", "bis sqi emg sr", 16),
        ("entropy", "state response burst", 28),
        ("", "", 28 + 30 + 32),
        ("spi", "spi", 16),
        ("", "", 24),
    ),
    DataClass.EXTENSION_3: (
        ("gas_exchange", "vo2 vco2 ee rq", 14),
        ("flow2", "ipeep pmean raw mv_insp epeep mv_spont", 46),
        ("", "", 10 + 22 + 24 + 10),
        ("cpp", "cpp", 8),
        ("", "", 8 + 54 + 74),
    ),
}
HEADLESS: Final = frozenset(("ecg_extra",))
"""Their status is that of the group ``ecg``."""


def _placed(rows: Iterable[tuple[str, str, int]]) -> Iterator[Group]:
    offset = 0
    for name, fields, size in rows:
        if name:
            yield Group(name, offset, tuple(fields.split()), name not in HEADLESS)
        offset += size
    if offset != DATA_BYTES:
        raise AssertionError(f"{offset} bytes")


GROUPS: Final = {each: tuple(_placed(rows)) for each, rows in _CLASSES.items()}


def measured(subrecord: Physiological) -> list[Measured]:
    """The groups of one class; nothing of a class that is not known."""
    try:
        groups = GROUPS[DataClass(subrecord.data_class)]
    except ValueError:
        return []
    data, values = subrecord.data, _VALUES.unpack(subrecord.data)
    found, status = [], 0
    for group in groups:
        label, first = 0, group.offset // 2
        if group.headed:
            status, label = _GROUP_HEAD.unpack_from(data, group.offset)
            first += HEADER_BYTES // 2
        else:
            status = _GROUP_HEAD.unpack_from(data)[0]
        numbers = values[first : first + len(group.fields)]
        found.append(
            Measured(group.name, status, label, dict(zip(group.fields, numbers, strict=True)))
        )
    return found
