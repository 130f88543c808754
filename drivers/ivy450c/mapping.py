"""Messages of the monitor -> records.

- Every line's values become one Report at the time of receipt: the monitor sends no time.
- A value that is not measured is reported (NaN, UNAVAILABLE) only where one was measured since
  the link came up: a parameter that nobody connected says nothing every second.
- Cuff pressures are repeated by the monitor until the next measurement. They are reported when
  they change, and once a minute, so that an old pressure does not look like a fresh one.
- The stream says no unit. Pressures are mmHg: the recorded P1 curve runs between the systolic and
  diastolic number, byte for byte. CO2 and temperature may be set to other units on the monitor,
  and the configuration says which.
- Curves of a parameter that has no value are left out: the recorded P2 sends 251 without a
  transducer. Of the ECG only time and shape are known: see README.md.
- An alarm's text becomes a DeviceAlarm; the monitor sends no priority: see
  :data:`TECHNICAL_WORDS`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from drivers.base.blocktimes import BlockTimes
from drivers.base.dialogue import Moment
from drivers.ivy450c.codec import Line, Message
from gateway.domain import terms, units
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmKind,
    AlarmPriority,
    AlarmSnapshot,
    DeviceAlarm,
    Mark,
    Marked,
    Provenance,
    Quality,
    Record,
    Report,
    Waveform,
)

KIND = "vitals"
CUFF_EVERY_US: Final = 60_000_000
"""The cuff's last pressure is repeated so often."""
TEXT_CHARACTERS_MAX: Final = 120
NUMBER: Final = re.compile(r"-?[0-9]{1,4}(\.[0-9]{1,2})?")

_Number = tuple[int, float, Quality]


class Units(NamedTuple):
    """How the monitor is set, in UCUM; the stream doesn't say it."""

    co2: str = "mm[Hg]"
    temperature: str = "Cel"


PRESSURE_SITES: Final = {
    site: tuple(f"MDC_{name}{suffix}" for suffix in ("", "_SYS", "_DIA", "_MEAN"))
    for site, name in (
        ("unlabelled", "PRESS_BLD"),
        ("ART", "PRESS_BLD_ART"),
        ("ABP", "PRESS_BLD_ART_ABP"),
        ("CVP", "PRESS_BLD_VEN_CENT"),
        ("PA", "PRESS_BLD_ART_PULM"),
        ("ICP", "PRESS_INTRA_CRAN"),
    )
}
"""What a pressure channel measures: the curve, systolic, diastolic and mean."""
SECOND_CHANNEL: Final = tuple(
    f"WARDGATE_PRESS_2{suffix}" for suffix in ("", "_SYS", "_DIA", "_MEAN")
)

_NUMBERS: Final = {
    "HR": ("MDC_ECG_HEART_RATE",),
    "RR": ("MDC_RESP_RATE",),
    "ETCO2": ("MDC_CONC_AWAY_CO2_ET",),
    "SPO2": ("MDC_PULS_OXIM_SAT_O2",),
    "NIBP": (
        "MDC_PRESS_BLD_NONINV_SYS",
        "MDC_PRESS_BLD_NONINV_DIA",
        "MDC_PRESS_BLD_NONINV_MEAN",
        "MDC_PULS_RATE_NON_INV",
    ),
    "T1": ("MDC_TEMP",),
    "T2": ("WARDGATE_TEMP_2",),
}
"""A line's values, in their order; P1 and P2 are the configuration's."""
_LEADS: Final = {
    "ECG-I": "MDC_ECG_ELEC_POTL_I",
    "ECG-II": "MDC_ECG_ELEC_POTL_II",
    "ECG-III": "MDC_ECG_ELEC_POTL_III",
}
"""The HR line's label begins with the lead and ends with the filter: ``ECG-II-DIAG``."""
_PULSE: Final = re.compile(r"PR= *([0-9]{1,3}) *")

TECHNICAL_WORDS: Final = [
    "BATTERY",
    "CABLE",
    "CHECK",
    "CUFF",
    "ERROR",
    "FAIL",
    "FAULT",
    "LEAD",
    "OVERPRESSURE",
    "PROBE",
    "SENSOR",
    "TRANSDUCER",
]
"""Words that make an alarm one of the equipment: of MEDIUM priority. All others are the patient's,
and since the monitor does not tell how grave they are, of HIGH priority."""

ECG_RATE_HZ, OTHER_RATE_HZ = 200.0, 50.0
ECG_MV_PER_STEP, ECG_ZERO = 0.02, 100
"""Of a public implementation; not borne out by the recorded stream. The quality says so."""


class Mapper:
    """One connection's memory: what was measured, and the curves' time."""

    def __init__(
        self,
        device: Device,
        provenance: Provenance,
        units_set: Units = Units(),  # noqa: B008 - an immutable tuple
        sites: tuple[str, str] = ("unlabelled", "unlabelled"),
    ) -> None:
        self._device = device
        self._provenance = provenance
        p1 = PRESSURE_SITES[sites[0]]
        p2 = SECOND_CHANNEL if sites[1] == "unlabelled" else PRESSURE_SITES[sites[1]]
        names = {**_NUMBERS, "P1": p1[1:], "P2": p2[1:]}
        self._codes = {line: tuple(map(terms.code, refids)) for line, refids in names.items()}
        self._curves = {
            "RR": (terms.code("WARDGATE_RESP_CURVE"), "respiration"),
            "SPO2": (terms.code("WARDGATE_PLETH_CURVE"), "pleth"),
            "P1": (terms.code(p1[0]), "p1"),
            "P2": (terms.code(p2[0]), "p2"),
        }
        self._convert = {
            "ETCO2": units.conversion(units_set.co2, "mm[Hg]"),
            "T1": units.conversion(units_set.temperature, "Cel"),
            "T2": units.conversion(units_set.temperature, "Cel"),
        }
        self._times = BlockTimes()
        self._measured: set[int] = set()
        self._cuff: tuple[tuple[str, ...], int] = ((), 0)
        self.unmapped = 0
        """Values that were no number, and lines that we don't know."""

    def records(
        self, message: Message, now: Moment, *, damaged: bool = False
    ) -> list[Record | AlarmSnapshot]:
        """One second of the monitor; ``damaged``: bytes were lost since the last one."""
        numbers = [number for line in message.lines for number in self._numbers(line, now.wall_us)]
        records: list[Record | AlarmSnapshot] = []
        if numbers:
            codes, values, qualities = zip(*numbers, strict=True)
            valid = all(quality is Quality.VALID for quality in qualities)
            records.append(
                self._report(now, codes=codes, values=values, qualities=() if valid else qualities)
            )
        waveforms = self._waveforms(message, now, damaged=damaged)
        if waveforms:
            records.append(self._report(now, waveforms=waveforms))
        records.append(
            AlarmSnapshot(
                self._device.device_id,
                self._provenance,
                now.wall_us,
                _alarms(message.lines),
                self._device.bed,
            )
        )
        return records

    def _report(self, now: Moment, **content: object) -> Report:
        return Report(
            self._device.device_id,
            KIND,
            self._provenance,
            now.wall_us,
            bed=self._device.bed,
            ward=self._device.ward,
            **content,  # type: ignore[arg-type]
        )

    # Numbers.

    def _numbers(self, line: Line, now_us: int) -> Iterator[_Number]:
        codes = self._codes.get(line.name)
        if codes is None or len(codes) != len(line.values):
            self.unmapped += 1
            return
        if line.name == "NIBP" and not self._cuff_is_due(line.values, now_us):
            return
        if line.name == "HR" and line.label and not line.label.startswith("ECG"):
            codes = (terms.code("MDC_PULS_RATE"),)
        for code, text in zip(codes, line.values, strict=True):
            yield from self._number(code, text.strip(), line.name)
        if line.name == "SPO2":
            pulse = _PULSE.fullmatch(line.label)
            yield from self._number(terms.PULSE_RATE, pulse[1] if pulse else "", "SPO2")

    def _number(self, code: int, text: str, line: str) -> Iterator[_Number]:
        if not text:
            if code in self._measured:
                yield code, math.nan, Quality.UNAVAILABLE
            return
        if not NUMBER.fullmatch(text):
            self.unmapped += 1
            yield code, math.nan, Quality.INVALID
            return
        self._measured.add(code)
        value = float(text)
        convert = self._convert.get(line)
        yield code, value if convert is None else convert.shown(value), Quality.VALID

    def _cuff_is_due(self, values: tuple[str, ...], now_us: int) -> bool:
        shown, at_us = self._cuff
        if values == shown and 0 <= now_us - at_us < CUFF_EVERY_US:
            return False
        self._cuff = values, now_us
        return True

    # Curves.

    def _waveforms(self, message: Message, now: Moment, *, damaged: bool) -> tuple[Waveform, ...]:
        lines = {line.name: line for line in message.lines}
        begun = self._times.take(1, 1.0, now, damaged=damaged)
        found = []
        lead = _lead(lines.get("HR"))
        if lead is not None:
            off = _is_off(lines["HR"])
            samples = tuple(message.curves.ecg)
            found.append(
                Waveform(
                    lead,
                    begun.start_us,
                    ECG_RATE_HZ,
                    ECG_MV_PER_STEP,
                    -ECG_ZERO * ECG_MV_PER_STEP,
                    samples,
                    Quality.QUESTIONABLE,
                    begun.missing * len(samples),
                    (Marked(0, len(samples), Mark.LEAD_OFF),) if off else (),
                )
            )
        for name, (code, curve) in self._curves.items():
            line = lines.get(name)
            if line is None or not "".join(line.values[:1]).strip():
                continue
            samples = tuple(getattr(message.curves, curve))
            found.append(
                Waveform(
                    code,
                    begun.start_us,
                    OTHER_RATE_HZ,
                    1.0,
                    0.0,
                    samples,
                    missing_before=begun.missing * len(samples),
                )
            )
        return tuple(found)


def _lead(line: Line | None) -> int | None:
    """The code of the ECG's lead, of the label or of what stands before its filter."""
    if line is None:
        return None
    name = max((lead for lead in _LEADS if line.label.startswith(lead)), key=len, default="")
    return terms.code(_LEADS[name]) if name else None


def _is_off(line: Line) -> bool:
    return "LEAD" in line.alarm.upper()


def _alarms(lines: tuple[Line, ...]) -> tuple[DeviceAlarm, ...]:
    found = {}
    for line in lines:
        text = line.alarm.strip()[:TEXT_CHARACTERS_MAX]
        if text:
            word = "_".join(re.findall(r"[a-z]+", text.lower())) or "alarm"
            condition = f"{line.name.lower()}.{word}"
            technical = any(word in text.upper() for word in TECHNICAL_WORDS)
            kind = AlarmKind.TECHNICAL if technical else AlarmKind.PHYSIOLOGICAL
            priority = AlarmPriority.MEDIUM if technical else AlarmPriority.HIGH
            found[condition] = DeviceAlarm(condition, terms.DEVICE_ALARM, priority, kind, text)
    return tuple(found.values())
