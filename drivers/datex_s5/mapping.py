"""Records of the monitor -> records of ours.

- The numbers of one record that have one time become one Report at that time. The monitor's clock
  is a wall clock without a zone, which the configuration supplies.
- A value at or below -32001 is a code (:data:`CODES`). One that is merely absent is reported (NaN,
  UNAVAILABLE) only where it was measured since the link came up.
- A number of a module that does not measure at the moment is QUESTIONABLE.
- A cuff pressure, a cardiac output and a wedge pressure are reported when they change, and not
  while the monitor says that they are older than a minute.
- Pressures and temperatures are what their label says; a label that names no site, or one that
  another channel has already, leaves the channel's number (:mod:`drivers.datex_s5.metrics`).
- CO2 is sent as a share of the ambient pressure and becomes mmHg with the ambient pressure of the
  same group; without that it is NaN, INVALID.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from drivers.base.dialogue import Moment
from drivers.datex_s5 import alarms, metrics
from drivers.datex_s5.codec import (
    AlarmStatus,
    Curve,
    Physiological,
    PhysiologicalType,
)
from drivers.datex_s5.codec import (
    Record as Received,
)
from drivers.datex_s5.curves import ECGS, NO_SAMPLE, PRESSURES, Curves
from drivers.datex_s5.layout import Measured, measured
from drivers.datex_s5.metrics import Number
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmSnapshot,
    Provenance,
    Quality,
    Record,
    Report,
    TimeQuality,
    Waveform,
)

KIND = "vitals"

NOT_UPDATED: Final = -32766
"""Nothing new: not reported."""
CODES: Final = {
    -32767: Quality.UNAVAILABLE,
    -32765: Quality.CALIBRATING,
    -32764: Quality.UNDERFLOW,
    -32763: Quality.OVERFLOW,
    -32762: Quality.INVALID,
}
"""The last is "not calibrated"; any other code is INVALID, too."""

ECG_DOUBT: Final = 0x380
"""Status of ``ecg``: noise, artefact, learning."""
CUFF_CALIBRATING, CUFF_OLD = 0x80, 0x100
"""Label of ``nibp``."""
OUTPUT_OLD, WEDGE_OLD = 0x1, 0x2
"""Label of ``co``."""

_Value = tuple[float, Quality]
_Found = Iterator[tuple[int, _Value]]


class Mapper:
    """One connection's memory: labels, what was measured, the curves' time."""

    def __init__(self, device: Device, provenance: Provenance, zone: tzinfo) -> None:
        self._device = device
        self._provenance = provenance
        self._zone = zone
        self._measured: set[int] = set()
        self._slow: dict[str, tuple[int, ...]] = {}
        self._sites: dict[int, dict[str, int]] = {}
        self._leads: dict[int, str] = {}
        self._curves = Curves(self._code_of)

    @property
    def unknown(self) -> int:
        """Curves left out because their kind is not known."""
        return self._curves.unknown

    def damaged(self) -> None:
        """Bytes of the monitor's were lost."""
        self._curves.damaged()

    def records(self, received: Received, now: Moment) -> list[Record | AlarmSnapshot]:
        """Everything that a record says."""
        values: dict[int, dict[int, _Value]] = {}
        waveforms: list[Waveform] = []
        records: list[Record | AlarmSnapshot] = []
        for subrecord in received.subrecords:
            match subrecord:
                case Physiological(kind=PhysiologicalType.DISPLAYED, time_s=time_s):
                    into = values.setdefault(time_s, {})
                    for code, value in self._numbers(subrecord):
                        into.setdefault(code, value)
                case Curve():
                    wave = self._curves.waveform(subrecord, now)
                    if wave is not None:
                        waveforms.append(wave)
                case AlarmStatus():
                    records.append(
                        AlarmSnapshot(
                            self._device.device_id,
                            self._provenance,
                            now.wall_us,
                            alarms.alarms(subrecord),
                            self._device.bed,
                        )
                    )
        for time_s, found in values.items():
            if found:
                records.append(self._report(found, self._unix_us(time_s), now.wall_us))
        if waveforms:
            records.append(
                Report(
                    self._device.device_id,
                    KIND,
                    self._provenance,
                    now.wall_us,
                    bed=self._device.bed,
                    ward=self._device.ward,
                    waveforms=tuple(waveforms),
                )
            )
        return records

    def _report(self, found: dict[int, _Value], device_us: int, received_us: int) -> Report:
        values, qualities = zip(*found.values(), strict=True)
        valid = all(quality is Quality.VALID for quality in qualities)
        return Report(
            self._device.device_id,
            KIND,
            self._provenance,
            received_us,
            tuple(found),
            values,
            () if valid else qualities,
            device_us,
            TimeQuality.GOOD if device_us else TimeQuality.NONE,
            bed=self._device.bed,
            ward=self._device.ward,
        )

    def _unix_us(self, time_s: int) -> int:
        """Unix microseconds of the monitor's wall clock; 0 when it has none."""
        if not time_s:
            return 0
        wall = datetime.fromtimestamp(time_s, UTC).replace(tzinfo=self._zone)
        return int(wall.timestamp()) * 1_000_000

    # Numbers.

    def _numbers(self, subrecord: Physiological) -> _Found:
        groups = measured(subrecord)
        by_name = {group.name: group for group in groups}
        for group in groups:
            match group.name:
                case "ecg":
                    yield from self._ecg(group, by_name["ecg_extra"])
                case "nibp":
                    yield from self._cuff(group)
                case "co2":
                    yield from self._co2(group)
                case "co":
                    yield from self._output(group)
                case "aa":
                    yield from self._agent(group)
                case name if name[0] == "p" and name[1:].isdigit():
                    yield from self._pressure(int(name[1:]), group)
                case name if name[0] == "t" and name[1:].isdigit():
                    yield from self._temperature(int(name[1:]), group)
                case _:
                    yield from self._plain(group)

    def _plain(self, group: Measured, doubt: int = 0) -> _Found:
        for field, raw in group.values.items():
            number = metrics.FIELDS.get((group.name, field))
            if number is not None:
                yield from self._value(number, raw, group, doubt)

    def _value(self, number: Number, raw: int, group: Measured, doubt: int = 0) -> _Found:
        if raw == NOT_UPDATED:
            return
        if raw <= NO_SAMPLE:
            quality = CODES.get(raw, Quality.INVALID)
            if quality is not Quality.UNAVAILABLE or number.code in self._measured:
                yield number.code, (math.nan, quality)
            return
        self._measured.add(number.code)
        value = round(raw * number.scale, number.digits)
        sure = group.active and not group.status & doubt
        yield number.code, (value, Quality.VALID if sure else Quality.QUESTIONABLE)

    def _ecg(self, group: Measured, extra: Measured) -> _Found:
        source = group.status >> 3 & 0xF
        rate = group.values["hr"]
        if source in metrics.FROM_ECG:
            yield from self._value(metrics.HEART_RATE, rate, group, ECG_DOUBT)
        else:
            yield from self._value(metrics.PULSE_RATE, rate, group)
            yield from self._value(metrics.HEART_RATE, extra.values["hr_ecg"], group, ECG_DOUBT)
        for channel in (1, 2, 3):
            label = group.label >> 4 * (channel - 1) & 0xF
            lead = metrics.LEADS[label] if label < len(metrics.LEADS) else ""
            self._leads[channel] = lead
            if lead:
                number = Number(terms.code(f"MDC_ECG_AMPL_ST_{lead}"), 0.01, 2)
                yield from self._value(number, group.values[f"st{channel}"], group, ECG_DOUBT)
        yield from self._plain(group)

    def _pressure(self, channel: int, group: Measured) -> _Found:
        site = metrics.SITES.get(group.label)
        others = (taken for other, taken in self._sites.items() if other != channel)
        if site is None or any(site is taken for taken in others):
            site = metrics.CHANNELS[channel]
        self._sites[channel] = site
        for part in ("sys", "dia", "mean"):
            number = Number(site[part], metrics.PRESSURE_SCALE, 2)
            yield from self._value(number, group.values[part], group)

    def _temperature(self, channel: int, group: Measured) -> _Found:
        if group.label != metrics.ROOM:
            code = metrics.PLACES.get(group.label, metrics.TEMPERATURES[channel])
            number = Number(code, metrics.TEMPERATURE_SCALE, 2)
            yield from self._value(number, group.values["temp"], group)

    def _cuff(self, group: Measured) -> _Found:
        if self._is_new(group, "cuff", ("sys", "dia", "mean", "hr"), group.label & CUFF_OLD):
            found = self._plain(group)
            if group.label & CUFF_CALIBRATING:
                found = ((code, (math.nan, Quality.CALIBRATING)) for code, _ in found)
            yield from found

    def _output(self, group: Measured) -> _Found:
        if self._is_new(group, "output", ("co", "blood_temp"), group.label & OUTPUT_OLD):
            for field in ("co", "blood_temp"):
                number = metrics.FIELDS[group.name, field]
                yield from self._value(number, group.values[field], group)
        if self._is_new(group, "wedge", ("pcwp",), group.label & WEDGE_OLD):
            yield from self._value(metrics.FIELDS["co", "pcwp"], group.values["pcwp"], group)

    def _is_new(self, group: Measured, what: str, fields: tuple[str, ...], old: int) -> bool:
        """Whether a measurement that the monitor repeats is to be reported."""
        if old:
            self._slow.pop(what, None)  # what comes next is a new one, also with the same values
            return False
        values = tuple(group.values[field] for field in fields)
        if self._slow.get(what) == values:
            return False
        self._slow[what] = values
        return True

    def _co2(self, group: Measured) -> _Found:
        ambient = group.values["amb"]
        known = ambient > NO_SAMPLE and ambient > 0
        for field, code in metrics.CO2.items():
            scale = 0.01 / 100 * ambient / 10 if known else 1.0
            for found, (value, quality) in self._value(
                Number(code, scale, 1), group.values[field], group
            ):
                lost = not known and not math.isnan(value)
                yield found, ((math.nan, Quality.INVALID) if lost else (value, quality))
        yield from self._plain(group)

    def _agent(self, group: Measured) -> _Found:
        label = group.label if (group.label, "et") in metrics.AGENTS else 0
        for field in ("et", "fi"):
            yield from self._value(metrics.AGENTS[label, field], group.values[field], group)
        yield from self._plain(group)

    # Curves.

    def _code_of(self, name: str) -> int | None:
        """What the labels say that a curve is."""
        channel = PRESSURES.get(name)
        if channel is not None:
            site = self._sites.get(channel)
            return None if site is None else site[""]
        lead = self._leads.get(ECGS.get(name, 0), "")
        taken = [other for other, known in self._leads.items() if known == lead]
        if not lead or taken[0] != ECGS[name]:
            return None
        return terms.code(f"MDC_ECG_ELEC_POTL_{lead}")
