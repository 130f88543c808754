"""What only a monitor says, as records: the mirror image of ``drivers.datex_s5``."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from drivers.datex_s5 import codec, metrics
from drivers.datex_s5.codec import ALARMS_SHOWN, DATA_BYTES, DataClass, MainType, ShownAlarm
from drivers.datex_s5.layout import ACTIVE, GROUPS, HEADER_BYTES, PRESENT
from gateway.domain import terms

ABSENT: Final = -32767
AMBIENT_MMHG: Final = 760.0


class Place(NamedTuple):
    """Where a metric's number is sent, and how."""

    data_class: DataClass
    group: str
    field: str
    scale: float
    label: int = 0


def _places() -> dict[int, Place]:
    classes = {group.name: (each, group) for each, rows in GROUPS.items() for group in rows}
    found = {
        number.code: Place(classes[group][0], group, field, number.scale)
        for (group, field), number in metrics.FIELDS.items()
        if group != "ecg12"
    }
    found[terms.HEART_RATE] = Place(DataClass.BASIC, "ecg", "hr", 1.0)
    found[terms.TEMPERATURE] = Place(DataClass.BASIC, "t1", "temp", metrics.TEMPERATURE_SCALE)
    for label, group in ((8, "p1"), (2, "p2"), (3, "p3")):  # ABP, CVP, PA
        for part in ("sys", "dia", "mean"):
            code = metrics.SITES[label][part]
            found[code] = Place(DataClass.BASIC, group, part, metrics.PRESSURE_SCALE, label)
    for field, code in metrics.CO2.items():
        found[code] = Place(DataClass.BASIC, "co2", field, 0.01 / 100 * AMBIENT_MMHG)
    return found


PLACES: Final = _places()
"""Metric code -> where the simulated monitor sends it."""
LEAD_II: Final = 2


def physiological(
    time_s: int, values: Mapping[int, float], status: int = PRESENT | ACTIVE
) -> bytes:
    """A record with all four classes; what has no value is absent.

    Raises:
        KeyError: a metric that this monitor has not.
    """
    data = {each: bytearray(struct.pack("<h", ABSENT) * (DATA_BYTES // 2)) for each in GROUPS}
    for each, groups in GROUPS.items():
        for group in groups:
            if group.headed:
                struct.pack_into("<IH", data[each], group.offset, 0, 0)
    shown = dict(values)
    if not shown.keys().isdisjoint(metrics.CO2.values()):
        shown.setdefault(terms.code("WARDGATE_PRESS_AMBIENT"), AMBIENT_MMHG)
    for code, value in shown.items():
        place = PLACES[code]
        group = next(g for g in GROUPS[place.data_class] if g.name == place.group)
        at = group.offset + (HEADER_BYTES if group.headed else 0)
        at += 2 * group.fields.index(place.field)
        struct.pack_into("<h", data[place.data_class], at, round(value / place.scale))
        if group.headed:
            label = LEAD_II if group.name == "ecg" else place.label
            struct.pack_into("<IH", data[place.data_class], group.offset, status, label)
    return codec.encode(
        MainType.PHYSIOLOGICAL,
        tuple(
            (1, struct.pack("<I", time_s) + bytes(content) + struct.pack("<BBH", 0, 0, each << 8))
            for each, content in data.items()
        ),
        time_s=time_s,
    )


def curves(time_s: int, shown: Sequence[tuple[int, int, Sequence[int]]]) -> bytes:
    """A record of (kind, status, samples)."""
    return codec.encode(
        MainType.WAVE,
        tuple(
            (
                kind,
                codec.CURVE_HEAD.pack(len(samples), status, 0)
                + struct.pack(f"<{len(samples)}h", *samples),
            )
            for kind, status, samples in shown
        ),
        time_s=time_s,
    )


def alarms(time_s: int, shown: Sequence[ShownAlarm]) -> bytes:
    """A record with the messages on the screen; there is room for five."""
    entries = [
        codec.ALARM_ENTRY.pack(each.text.encode("latin-1")[:80], 1, each.colour, 1)
        for each in sorted(shown, key=lambda each: -each.colour)[:ALARMS_SHOWN]
    ]
    entries += [codec.ALARM_ENTRY.pack(b"", 0, 0, 0)] * (ALARMS_SHOWN - len(entries))
    content = codec.ALARM_HEAD.pack(0, 1, 0, 0, 0) + b"".join(entries) + bytes(10)
    return codec.encode(MainType.ALARM, ((1, content),), time_s=time_s)
