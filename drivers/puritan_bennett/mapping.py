"""Replies of a ventilator -> records.

- What it measured and what it was told (settings, alarm limits) are Reports of two kinds, with
  codes of their own: a setting is never taken for a measurement. What it was told is reported when
  it changes and once a minute.
- A blank field has no value and is left out. A limit that is ``OFF`` is NaN and UNAVAILABLE; what
  is no number where one must be is NaN and INVALID.
- Every reply shows all alarms, so each makes an AlarmSnapshot.
- The clock shows minutes; device time is known once the display was seen moving on.
- The ideal body weight is the patient's and is not read; the ventilator's id is not believed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from drivers.puritan_bennett.codec import Reply
from drivers.puritan_bennett.fields import (
    ALARMED,
    LAYOUTS,
    OFF,
    PRIORITIES,
    Choice,
    Layout,
    Number,
)
from drivers.ventilation.clock import CutOffClock
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmSnapshot,
    DeviceAlarm,
    Enumeration,
    Provenance,
    Quality,
    Record,
    Report,
    TimeQuality,
)

MEASURED, SETTINGS = "ventilation", "settings"
"""Kinds of report."""
REPEAT_US = 60_000_000
"""What stays the same is repeated so often."""
CLOCK_RESOLUTION_US = 60_000_000

_NUMBER = re.compile(r"-?\d{1,7}(\.\d{1,4})?")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_DATE = re.compile(r"([A-Z]{3}) +(\d{1,2}) +(\d{4})")

_Values = list[tuple[int, float, Quality]]


class Mapper:
    """What is remembered of one ventilator: its clock, and its settings as last reported."""

    def __init__(self, device: Device, provenance: Provenance, zone: tzinfo = UTC) -> None:
        self._device = device
        self._provenance = provenance
        self._zone = zone
        self._clock = CutOffClock()
        self._told, self._told_us = "", 0
        self.unknown = 0
        """Words in fields that are in no table: left out, or taken for an alarm."""

    def records(self, reply: Reply, received_us: int) -> list[Record | AlarmSnapshot]:
        """Everything that a reply says, as records."""
        layout = LAYOUTS[reply.mnemonic]
        shown_us = shown_time_us(reply.field(layout.clock), reply.field(layout.date), self._zone)
        device_us = 0
        if shown_us is not None:
            device_us = self._clock.device_us(shown_us, CLOCK_RESOLUTION_US, received_us)
        at = received_us, device_us
        records: list[Record | AlarmSnapshot] = []
        measured = _values(reply, layout.measured)
        if measured:
            records.append(self._report(MEASURED, measured, (), at))
        told = _values(reply, layout.told)
        choices = self._choices(reply, layout.choices)
        if self._is_due((told, choices), received_us):
            records.append(self._report(SETTINGS, told, choices, at))
        records.append(self._snapshot(reply, layout, received_us))
        return records

    def _is_due(self, told: object, now_us: int) -> bool:
        # Compared as text: NaN, which a limit that is off has, is never equal to itself.
        content = repr(told)
        if content == self._told and 0 <= now_us - self._told_us < REPEAT_US:
            return False
        self._told, self._told_us = content, now_us
        return True

    def _choices(self, reply: Reply, choices: Sequence[Choice]) -> tuple[Enumeration, ...]:
        found: list[Enumeration] = []
        for choice in choices:
            word = reply.field(choice.field)
            if not word:
                continue
            name = choice.words.get(word)
            if name is None:
                self.unknown += 1
            else:
                found.append(Enumeration(choice.code, 0, name))
        return tuple(found)

    def _report(
        self, kind: str, values: _Values, choices: tuple[Enumeration, ...], at: tuple[int, int]
    ) -> Report:
        codes, numbers, qualities = zip(*values, strict=True) if values else ((), (), ())
        received_us, device_us = at
        return Report(
            self._device.device_id,
            kind,
            self._provenance,
            received_us,
            codes,
            numbers,
            () if all(each is Quality.VALID for each in qualities) else qualities,
            device_us,
            TimeQuality.GOOD if device_us else TimeQuality.NONE,
            bed=self._device.bed,
            enumerations=choices,
            ward=self._device.ward,
        )

    def _snapshot(self, reply: Reply, layout: Layout, received_us: int) -> AlarmSnapshot:
        shown: dict[str, DeviceAlarm] = {}
        for row in layout.alarms:
            word = reply.field(row.field)
            priority = PRIORITIES.get(word, row.priority) if word else None
            if word and word not in PRIORITIES and word not in ALARMED:
                self.unknown += 1  # it says something: an alarm too many is the lesser evil
            if priority is not None:
                known = shown.get(row.condition)
                if known is None or priority > known.priority:
                    shown[row.condition] = DeviceAlarm(
                        row.condition, row.event, priority, row.kind, row.text
                    )
        alarms = tuple(sorted(shown.values(), key=lambda each: (-each.priority, each.condition)))
        return AlarmSnapshot(
            self._device.device_id, self._provenance, received_us, alarms, self._device.bed
        )


def _values(reply: Reply, numbers: Sequence[Number]) -> _Values:
    found: _Values = []
    for number in numbers:
        word = reply.field(number.field)
        if not word:
            continue
        if _NUMBER.fullmatch(word):
            # The conversion must not invent digits: fields are six characters wide.
            value = float(word)
            found.append((number.code, round(value * number.factor, 4), Quality.VALID))
        else:
            quality = Quality.UNAVAILABLE if word == OFF else Quality.INVALID
            found.append((number.code, math.nan, quality))
    return found


def shown_time_us(clock: str, date: str, zone: tzinfo) -> int | None:
    """Unix microseconds of ``HH:MM`` and ``MMM DD YYYY``; None where that is no time.

    >>> shown_time_us("09:33", "OCT 07 2014", UTC)
    1412674380000000
    """
    time_found, date_found = _CLOCK.fullmatch(clock), _DATE.fullmatch(date)
    if time_found is None or date_found is None or date_found[1] not in _MONTHS:
        return None
    month = _MONTHS.index(date_found[1]) + 1
    try:
        moment = datetime(
            int(date_found[3]),
            month,
            int(date_found[2]),
            int(time_found[1]),
            int(time_found[2]),
            tzinfo=zone,
        )
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000
