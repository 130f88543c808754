"""Replies of a monitor -> records.

- Numerics and compounds become Reports, their units converted to the metric's own. Values of a
  continuous measurement share one Report at the reply's time; a value that carries its own time
  stamp (a cuff pressure) is reported at that time, once, not with every reply that repeats it.
- The measurement state becomes the value's Quality; a value without a number is UNAVAILABLE and
  NaN, a value in a unit that can't be converted is INVALID and NaN.
- Values of metrics that nobody labelled stand in a Report of their own: a report is released as
  its gravest member is, and a stray value must not hold back the vital signs beside it.
- Waves become blocks of waveforms (:mod:`drivers.intellivue.waves`), in Reports of their own.
- Enumerations keep the code of their state and are reported when they change, and once a minute;
  alarm lists become an AlarmSnapshot.
- The patient's demographics are never asked for and never mapped. The device id and the bed are
  the configuration's and the registry's; the monitor's own bed label is not believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

from drivers.intellivue.alarms import AlarmLists
from drivers.intellivue.attributes import (
    AbsoluteTime,
    Attributes,
    EnumerationValue,
    NumericValue,
)
from drivers.intellivue.clock import MonitorClock, to_unix_us
from drivers.intellivue.messages import ObservedObject, PollReply
from drivers.intellivue.metrics import context_free, known, metric_code
from drivers.intellivue.nomenclature import (
    PARTITION_METRICS,
    Attribute,
    ObjectClass,
    State,
)
from drivers.intellivue.units import conversion
from drivers.intellivue.waves import Waves
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.labels import UNLABELLED
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

KIND = "vitals"
WAVE_PERIOD_US = 256_000
"""Of a reply with waves."""
REMEMBERED_MAX = 256
"""Objects whose last report is remembered, of each kind: a monitor has a handful."""
ENUMERATION_EVERY_US = 60_000_000
"""An enumeration that stays the same is repeated so often."""

_STATES = (
    (State.INVALID, Quality.INVALID),
    (State.UNAVAILABLE, Quality.UNAVAILABLE),
    (State.DEMO | State.TEST, Quality.DEMO),
    (State.CALIBRATING, Quality.CALIBRATING),
    (State.QUESTIONABLE, Quality.QUESTIONABLE),
)

ENUMERATION_NAMES = {
    16386: "learning",
    16387: "asystole",
    16393: "paced",
    16395: "absent",
    16397: "irregular",
    16400: "unknown",
    16401: "unanalysable",
    16402: "sinus_rhythm",
    16403: "sinus_bradycardia",
    16404: "sinus_tachycardia",
    16405: "sv_rhythm",
    16406: "sv_tachycardia",
    16407: "ventricular_bigeminy",
    16408: "ventricular_rhythm",
    16410: "ventricular_tachycardia",
    16411: "sustained_ventricular_tachycardia",
    16412: "ventricular_trigeminy",
    16416: "ventricular_fibrillation",
    16912: "sv_bradycardia",
}


def quality_of(state: int) -> Quality:
    """The gravest of what the measurement state says; VALID when its high byte is 0."""
    for bits, quality in _STATES:
        if state & bits:
            return quality
    return Quality.VALID


_T = TypeVar("_T")
_Number = tuple[int, float, Quality]
_Numbers = list[_Number]


class Mapper:
    """One association's memory: the monitor's clock, its alarm lists, the stamps reported."""

    def __init__(self, device: Device, provenance: Provenance, clock: MonitorClock) -> None:
        self._device = device
        self._provenance = provenance
        self._clock = clock
        self._alarms = AlarmLists()
        self.waves = Waves(quality_of)
        self._stamped: dict[tuple[int, int], tuple[int, tuple[NumericValue, ...]]] = {}
        self._enumerated: dict[tuple[int, int], tuple[tuple[int, int, int], int]] = {}
        self.unmapped = 0
        """Numbers left out, because their metric has no row and can't get one."""

    def anchor(self, attributes: Attributes) -> None:
        """Read both clocks of an MDS object."""
        ticks = attributes.get(Attribute.TIME_RELATIVE)
        when = attributes.get(Attribute.TIME_ABSOLUTE)
        if isinstance(ticks, int) and isinstance(when, AbsoluteTime):
            self._clock.anchor(ticks, when)

    def records(self, reply: PollReply, received_us: int) -> list[Record | AlarmSnapshot]:
        """Everything that a reply says, as records."""
        match reply.object_class:
            case ObjectClass.NUMERIC:
                return self._numerics(reply, received_us)
            case ObjectClass.ENUMERATION:
                return self._enumerations(reply, received_us)
            case ObjectClass.ALERT_MONITOR:
                return self._snapshot(reply, received_us)
            case ObjectClass.WAVE:
                return self._waves_of(reply, received_us)
            case ObjectClass.MDS:
                for observed in reply.objects:
                    self.anchor(observed.attributes)
        return []

    def _reply_us(self, reply: PollReply) -> int:
        if reply.absolute_time is not None:
            stamped = to_unix_us(reply.absolute_time, self._clock.zone)
            if stamped is not None:
                return stamped
        return self._clock.unix_us(reply.relative_time) or 0

    def _stamp_us(self, attributes: Attributes) -> int:
        """The object's own time; 0 when it has none, or "not yet"."""
        when = attributes.get(Attribute.TIME_STAMP_ABSOLUTE)
        if isinstance(when, AbsoluteTime):
            return to_unix_us(when, self._clock.zone) or 0
        ticks = attributes.get(Attribute.TIME_STAMP_RELATIVE)
        if isinstance(ticks, int):
            return self._clock.unix_us(ticks) or 0
        return 0

    def _numerics(self, reply: PollReply, received_us: int) -> list[Record | AlarmSnapshot]:
        reports: dict[tuple[int, bool], _Numbers] = {}
        for observed in reply.objects:
            values = _values(observed.attributes)
            if not values:
                continue
            stamp = self._stamp_us(observed.attributes)
            if stamp == 0 or self._is_new(observed, stamp, values):
                for number, labelled in self._numbers(values):
                    reports.setdefault((stamp, labelled), []).append(number)
        reply_us = self._reply_us(reply)
        return [
            self._report(numbers, stamp or reply_us, received_us)
            for (stamp, _), numbers in reports.items()
        ]

    def _is_new(
        self, observed: ObservedObject, stamp: int, values: tuple[NumericValue, ...]
    ) -> bool:
        key, content = (observed.context, observed.handle), (stamp, values)
        if self._stamped.get(key) == content:
            return False
        _remember(self._stamped, key, content)
        return True

    def _numbers(self, values: Iterable[NumericValue]) -> Iterator[tuple[_Number, bool]]:
        """Code, number and quality of each value, and whether its metric is labelled."""
        for value in values:
            row = known(value.physio_id, value.unit_code)
            if row is None:
                self.unmapped += 1
                continue
            quality = quality_of(value.state)
            number = value.value
            if math.isnan(number):
                if quality not in (Quality.INVALID, Quality.CALIBRATING):
                    quality = Quality.UNAVAILABLE
            else:
                how = conversion(value.unit_code, row.unit)
                if how is None:
                    number, quality = math.nan, Quality.INVALID
                else:
                    number = how.shown(number)
            yield (row.code, number, quality), row.label != UNLABELLED

    def _report(self, numbers: _Numbers, device_us: int, received_us: int) -> Report:
        codes, values, qualities = zip(*numbers, strict=True)
        all_valid = all(quality is Quality.VALID for quality in qualities)
        return Report(
            self._device.device_id,
            KIND,
            self._provenance,
            received_us,
            codes,
            values,
            () if all_valid else qualities,
            device_us,
            TimeQuality.GOOD if device_us else TimeQuality.NONE,
            bed=self._device.bed,
            ward=self._device.ward,
        )

    def _enumerations(self, reply: PollReply, received_us: int) -> list[Record | AlarmSnapshot]:
        reports: dict[bool, list[Enumeration]] = {}
        for observed in reply.objects:
            value = observed.attributes.get(Attribute.ENUMERATION_VALUE)
            if isinstance(value, EnumerationValue) and self._is_due(observed, value, received_us):
                name = ENUMERATION_NAMES.get(value.value, f"{value.value:04x}")
                term = context_free(PARTITION_METRICS, value.value) if value.value else 0
                code, quality = metric_code(value.physio_id), quality_of(value.state)
                labelled = terms.metric(code).label != UNLABELLED
                reports.setdefault(labelled, []).append(Enumeration(code, term, name, quality))
        if not reports:
            return []
        device_us = self._reply_us(reply)
        return [
            Report(
                self._device.device_id,
                KIND,
                self._provenance,
                received_us,
                device_us=device_us,
                time_quality=TimeQuality.GOOD if device_us else TimeQuality.NONE,
                bed=self._device.bed,
                ward=self._device.ward,
                enumerations=tuple(found),
            )
            for found in reports.values()
        ]

    def _is_due(self, observed: ObservedObject, value: EnumerationValue, now_us: int) -> bool:
        key, content = (observed.context, observed.handle), value[:3]
        known = self._enumerated.get(key)
        if known and known[0] == content and now_us - known[1] < ENUMERATION_EVERY_US:
            return False
        _remember(self._enumerated, key, (content, now_us))
        return True

    def _waves_of(self, reply: PollReply, received_us: int) -> list[Record | AlarmSnapshot]:
        device_us = self._clock.unix_us(reply.relative_time) or 0
        found: dict[bool, list[Waveform]] = {}
        for block in self.waves.blocks(reply, device_us or received_us - WAVE_PERIOD_US):
            labelled = terms.metric(block.code).label != UNLABELLED
            found.setdefault(labelled, []).append(block)
        return [
            Report(
                self._device.device_id,
                KIND,
                self._provenance,
                received_us,
                device_us=device_us,
                time_quality=TimeQuality.GOOD if device_us else TimeQuality.NONE,
                bed=self._device.bed,
                ward=self._device.ward,
                waveforms=tuple(blocks),
            )
            for blocks in found.values()
        ]

    def _snapshot(self, reply: PollReply, received_us: int) -> list[Record | AlarmSnapshot]:
        shown = None
        for observed in reply.objects:
            shown = self._alarms.update(observed.attributes)
        if shown is None:
            return []
        return [
            AlarmSnapshot(
                self._device.device_id, self._provenance, received_us, shown, self._device.bed
            )
        ]


def _remember(memory: dict[tuple[int, int], _T], key: tuple[int, int], content: _T) -> None:
    """Keep ``content`` as the newest; the oldest goes when there are too many."""
    memory.pop(key, None)
    if len(memory) >= REMEMBERED_MAX:
        memory.pop(next(iter(memory)))
    memory[key] = content


def _values(attributes: Attributes) -> tuple[NumericValue, ...]:
    value = attributes.get(Attribute.NUMERIC_VALUE)
    if isinstance(value, NumericValue):
        return (value,)
    compound = attributes.get(Attribute.COMPOUND_VALUE)
    if isinstance(compound, tuple):
        return tuple(v for v in compound if isinstance(v, NumericValue))
    return ()
