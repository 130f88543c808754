"""Readings of the oximeter -> records.

- A line becomes one Report at the oximeter's time; the clock is a wall clock without a zone, which
  the configuration supplies.
- EXC decides the quality of every value in the line: without a sensor on the patient a value that
  is still shown is INVALID, with a poor signal it is QUESTIONABLE (:data:`QUALITIES`).
- A value that is not measured is reported (NaN, UNAVAILABLE) only where it was measured since the
  link came up: a model without SpCO says nothing about it.
- EXC and ALARM become alarms (:data:`TECHNICAL`, :data:`LIMITS`). The meaning of ALARM's bits is
  Masimo's secret: four of them were found out by an owner of a Rad-8; any other bit is an alarm of
  which nothing is known.
- The serial number in the line is not believed: who the device is, is the configuration's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from drivers.base.dialogue import Moment
from drivers.masimo.codec import Exceptions, Reading
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    Provenance,
    Quality,
    Record,
    Report,
    TimeQuality,
)
from gateway.domain.units import conversion

KIND = "vitals"
_NUMBER: Final = re.compile(r"\d{1,4}(\.\d{1,3})?")

METRICS: Final = {
    "SPO2": terms.SPO2,
    "BPM": terms.PULSE_RATE,
    "PI": terms.PERFUSION_INDEX,
    "SPCO": terms.code("WARDGATE_SPCO"),
    "SPMET": terms.code("WARDGATE_SPMET"),
    "SPHB": terms.code("WARDGATE_SPHB"),
    "PVI": terms.code("WARDGATE_PVI"),
}
"""Names of fields; the others (SN, SPOC, DESAT, PIDELTA, RESVD, EXC1) are left out."""

QUALITIES: Final = (
    (
        Exceptions.NO_SENSOR
        | Exceptions.DEFECTIVE_SENSOR
        | Exceptions.SENSOR_OFF
        | Exceptions.UNRECOGNISED_SENSOR,
        Quality.INVALID,
    ),
    (
        Exceptions.LOW_PERFUSION
        | Exceptions.PULSE_SEARCH
        | Exceptions.INTERFERENCE
        | Exceptions.AMBIENT_LIGHT
        | Exceptions.LOW_SIGNAL_IQ,
        Quality.QUESTIONABLE,
    ),
)
"""The first whose bits are set counts."""

TECHNICAL: Final = {
    Exceptions.NO_SENSOR: ("no_sensor", AlarmPriority.MEDIUM),
    Exceptions.DEFECTIVE_SENSOR: ("defective_sensor", AlarmPriority.MEDIUM),
    Exceptions.SENSOR_OFF: ("sensor_off", AlarmPriority.MEDIUM),
    Exceptions.UNRECOGNISED_SENSOR: ("unrecognised_sensor", AlarmPriority.MEDIUM),
    Exceptions.INTERFERENCE: ("interference", AlarmPriority.LOW),
    Exceptions.AMBIENT_LIGHT: ("ambient_light", AlarmPriority.LOW),
    Exceptions.LOW_PERFUSION: ("low_perfusion", AlarmPriority.LOW),
    Exceptions.LOW_SIGNAL_IQ: ("low_signal_iq", AlarmPriority.LOW),
}
"""Exceptions that are alarms of the equipment; searching a pulse is none."""
LIMITS: Final = {0x01: "spo2_high", 0x02: "spo2_low", 0x04: "pulse_high", 0x08: "pulse_low"}
SOUNDING, MUTED = 0x10, 0x20
"""Of ALARM: say nothing about what the alarm is."""


class Mapper:
    """One connection's memory: what was measured."""

    def __init__(
        self, device: Device, provenance: Provenance, zone: tzinfo, sphb_unit: str = "g/dL"
    ) -> None:
        self._device = device
        self._provenance = provenance
        self._zone = zone
        sphb = conversion(sphb_unit, "g/dL")
        if sphb is None:
            raise ValueError(f"SpHb can't be in {sphb_unit}")
        self._sphb = sphb
        self._measured: set[str] = set()
        self.unmapped = 0
        """Values that were no number."""

    def records(self, reading: Reading, now: Moment) -> list[Record | AlarmSnapshot]:
        """Everything that a line says."""
        records: list[Record | AlarmSnapshot] = []
        numbers = list(self._numbers(reading))
        if numbers:
            codes, values, qualities = zip(*numbers, strict=True)
            device_us = self._unix_us(reading)
            valid = all(quality is Quality.VALID for quality in qualities)
            records.append(
                Report(
                    self._device.device_id,
                    KIND,
                    self._provenance,
                    now.wall_us,
                    codes,
                    values,
                    () if valid else qualities,
                    device_us,
                    TimeQuality.GOOD if device_us else TimeQuality.NONE,
                    bed=self._device.bed,
                    ward=self._device.ward,
                )
            )
        records.append(
            AlarmSnapshot(
                self._device.device_id,
                self._provenance,
                now.wall_us,
                tuple(alarms(reading)),
                self._device.bed,
            )
        )
        return records

    def _numbers(self, reading: Reading) -> Iterator[tuple[int, float, Quality]]:
        worst = (quality for bits, quality in QUALITIES if reading.exceptions & bits)
        quality = next(worst, Quality.VALID)
        for name, code in METRICS.items():
            text = reading.values.get(name)
            if text is None:
                if name in self._measured:
                    yield code, math.nan, Quality.UNAVAILABLE
            elif not _NUMBER.fullmatch(text):
                self.unmapped += 1
                yield code, math.nan, Quality.INVALID
            else:
                self._measured.add(name)
                value = float(text)
                if name == "SPHB":
                    value = self._sphb.shown(value)
                yield code, value, quality

    def _unix_us(self, reading: Reading) -> int:
        """Unix microseconds of the oximeter's clock; 0 where it shows no date."""
        try:
            moment = datetime(*reading.time, tzinfo=self._zone)
        except ValueError:
            return 0
        return int(moment.timestamp()) * 1_000_000


def alarms(reading: Reading) -> Iterator[DeviceAlarm]:
    """What is wrong, the patient's first."""
    for bit, condition in LIMITS.items():
        if reading.alarms & bit:
            yield _alarm(condition, AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL)
    if reading.alarms & ~(SOUNDING | MUTED | sum(LIMITS)):
        yield _alarm("alarm", AlarmPriority.HIGH, AlarmKind.PHYSIOLOGICAL)
    for exception, (condition, priority) in TECHNICAL.items():
        if reading.exceptions & exception:
            yield _alarm(condition, priority, AlarmKind.TECHNICAL)


def _alarm(condition: str, priority: AlarmPriority, kind: AlarmKind) -> DeviceAlarm:
    text = condition.replace("_", " ")
    return DeviceAlarm(condition, terms.DEVICE_ALARM, priority, kind, text)
