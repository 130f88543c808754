"""Responses of a device -> records.

- Measurements are Reports of kind ``ventilation``; settings, alarm limits and texts (modes, states)
  Reports of kind ``settings``, with codes of their own, when they change and once a minute.
- Units are converted to the metric's own. A blank value is none and left out; dashes and the like
  are NaN and UNAVAILABLE; what can't be converted or is no number is NaN and INVALID.
- Alarms become an AlarmSnapshot once both code pages are known. A device's own words are its
  language's, and not kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from typing import Final

from drivers.medibus import tables
from drivers.medibus.alarms import device_alarms
from drivers.medibus.codec import Code
from drivers.medibus.replies import AlarmEntry, Entry, ShownTime
from drivers.medibus.tables import Number
from drivers.ventilation.clock import CutOffClock
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmSnapshot,
    Enumeration,
    Provenance,
    Quality,
    Record,
    Report,
    TimeQuality,
    Waveform,
)
from gateway.domain.units import conversion

MEASURED, SETTINGS, WAVES = "ventilation", "settings", "waves"
"""Kinds of report."""
REPEAT_US = 60_000_000
"""What stays the same is repeated so often."""

_NUMBER = re.compile(r"-? *\d{1,5}(\.\d{0,3})?|-?\.\d{1,3}")
_NOTHING = re.compile(r"[-*?_.]+")

NUMBERS: Final = {
    Code.DATA_1: (MEASURED, tables.DATA_1, frozenset[int]()),
    Code.DATA_2: (MEASURED, tables.DATA_2, frozenset[int]()),
    Code.LOW_LIMITS_1: (SETTINGS, tables.LOW_1, frozenset[int]()),
    Code.HIGH_LIMITS_1: (SETTINGS, tables.HIGH_1, frozenset[int]()),
    Code.LOW_LIMITS_2: (SETTINGS, tables.LOW_2, frozenset[int]()),
    Code.HIGH_LIMITS_2: (SETTINGS, tables.HIGH_2, frozenset[int]()),
    Code.SETTINGS: (SETTINGS, tables.SETTINGS, tables.NOT_READ),
}
"""Command -> kind of report, table, codes that are left out on purpose."""
_TEXTS: Final = {text.code: text for text in tables.TEXTS}

Records = list[Record | AlarmSnapshot]


class Mapper:
    """What is remembered of one device: its alarms, its clock, what was reported."""

    def __init__(self, device: Device, provenance: Provenance, zone: tzinfo = UTC) -> None:
        self._device = device
        self._provenance = provenance
        self._zone = zone
        self._clock = CutOffClock()
        self._offset_us: int | None = None
        """Of the device's clock from ours, once it is known."""
        self._alarms: dict[int, tuple[AlarmEntry, ...]] = {}
        self._reported: dict[Code, tuple[str, int]] = {}
        self.unknown = 0
        """Codes that are in no table."""

    def numbers(self, command: Code, entries: Iterable[Entry], received_us: int) -> Records:
        """Measurements, limits or settings."""
        kind, table, left_out = NUMBERS[command]
        told = {entry.code: entry.text for entry in entries}
        self.unknown += len(told.keys() - {row.code for row in table} - left_out)
        values = _values(table, told)
        if not values or not self._is_due(command, kind, repr(values), received_us):
            return []
        codes, numbers, qualities = zip(*values, strict=True)
        all_valid = all(quality is Quality.VALID for quality in qualities)
        return [self._report(kind, received_us, codes, numbers, () if all_valid else qualities)]

    def texts(self, entries: Iterable[Entry], received_us: int) -> Records:
        """Modes and states that apply at the moment."""
        found: dict[tuple[int, str], Enumeration] = {}
        for entry in entries:
            text = _TEXTS.get(entry.code)
            if text is not None:
                found[text.metric, text.name] = Enumeration(text.metric, 0, text.name)
            elif entry.code not in tables.UNSAID:
                self.unknown += 1
        said = tuple(found.values())
        if not said or not self._is_due(Code.TEXTS, SETTINGS, repr(said), received_us):
            return []
        return [self._report(SETTINGS, received_us, enumerations=said)]

    def alarms(self, page: int, entries: tuple[AlarmEntry, ...], received_us: int) -> Records:
        """Everything that one code page shows."""
        self._alarms[page] = entries
        if len(self._alarms) < 2:
            return []
        return [
            AlarmSnapshot(
                self._device.device_id,
                self._provenance,
                received_us,
                device_alarms(sorted(self._alarms.items())),
                self._device.bed,
            )
        ]

    def waves(self, blocks: Sequence[Waveform], received_us: int) -> Records:
        """Blocks of curves, which have times of their own."""
        if not blocks:
            return []
        return [
            Report(
                self._device.device_id,
                WAVES,
                self._provenance,
                received_us,
                bed=self._device.bed,
                waveforms=tuple(blocks),
                ward=self._device.ward,
            )
        ]

    def time(self, shown: ShownTime, received_us: int) -> None:
        """A reading of the device's clock."""
        moment = shown.when.replace(tzinfo=self._zone)
        shown_us = int(moment.timestamp()) * 1_000_000
        device_us = self._clock.device_us(shown_us, shown.resolution_us, received_us)
        self._offset_us = device_us - received_us if device_us else None

    def _is_due(self, command: Code, kind: str, content: str, now_us: int) -> bool:
        if kind == MEASURED:
            return True
        known = self._reported.get(command)
        if known and known[0] == content and 0 <= now_us - known[1] < REPEAT_US:
            return False
        self._reported[command] = content, now_us
        return True

    def _report(
        self,
        kind: str,
        received_us: int,
        codes: tuple[int, ...] = (),
        numbers: tuple[float, ...] = (),
        qualities: tuple[int, ...] = (),
        enumerations: tuple[Enumeration, ...] = (),
    ) -> Report:
        device_us = 0 if self._offset_us is None else received_us + self._offset_us
        return Report(
            self._device.device_id,
            kind,
            self._provenance,
            received_us,
            codes,
            numbers,
            qualities,
            device_us,
            TimeQuality.GOOD if device_us else TimeQuality.NONE,
            bed=self._device.bed,
            enumerations=enumerations,
            ward=self._device.ward,
        )


def _values(table: Sequence[Number], told: dict[int, str]) -> list[tuple[int, float, Quality]]:
    """Of several codes of one metric, the first in the table's order that has a number."""
    found: dict[int, tuple[int, float, Quality]] = {}
    for row in table:
        text = told.get(row.code, "")
        if not text:
            continue
        value = _value(row, text)
        known = found.get(row.metric)
        if known is None or (known[2] is not Quality.VALID and value[2] is Quality.VALID):
            found[row.metric] = value
    return list(found.values())


def _value(row: Number, text: str) -> tuple[int, float, Quality]:
    if _NUMBER.fullmatch(text) is None:
        nothing = _NOTHING.fullmatch(text) is not None
        return row.metric, math.nan, Quality.UNAVAILABLE if nothing else Quality.INVALID
    how = conversion(row.unit, terms.metric(row.metric).unit)
    if how is None:
        return row.metric, math.nan, Quality.INVALID
    return row.metric, how.shown(float(text.replace(" ", "")) * row.factor), Quality.VALID
