"""Answers of the pump -> records.

- Each answer to INF is a Report. What other questions brought in the same round (volume to be
  infused, syringe) stands in it too.
- What was told before and is told no more is said to be gone: a value is NaN and UNAVAILABLE, a
  drug empty, so that nobody goes on with the old one. What never was told is left out.
- A value without a number, or in a unit that can't be converted, is NaN and INVALID: never passed
  off as a number. A time that the pump shows as "24+" is OVERFLOW: at least that long.
- Alarms are told twice: INF has one, ALARM has one. Whatever either says is shown, and an answer
  that did not come says nothing about the last one's.
- The pump has no clock in its answers. Its serial number is not believed: who it is, is the
  configuration's, which may say which serial number must be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from drivers.alaris.alarms import device_alarm
from drivers.alaris.codec import Query
from drivers.alaris.replies import (
    UNNAMED,
    Alarm,
    Amount,
    Infusion,
    Reply,
    Syringe,
    VolumeToBeInfused,
)
from drivers.infusion.codes import KIND
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmSnapshot,
    Enumeration,
    Provenance,
    Quality,
    Record,
    Report,
    Text,
)
from gateway.domain.units import conversion

PRESSURE: Final = terms.code("WARDGATE_PRESS_INFUS_LINE")
SYRINGE_SIZE: Final = terms.code("MDC_VOL_SYRINGE")
SYRINGE_TYPE: Final = terms.code("MDC_SYRINGE_TYPE")
MODE: Final = terms.code("MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE")

_NUMBERS: Final = {
    terms.FLOW_RATE,
    terms.VOLUME_INFUSED,
    terms.VOLUME_TO_BE_INFUSED,
    terms.TIME_REMAINING,
    PRESSURE,
    SYRINGE_SIZE,
}
UNITS: Final = {"ml/h": "mL/h", "ml": "mL", "mmhg": "mm[Hg]", "kpa": "kPa", "mbar": "mbar"}
"""The pump's spelling, in small letters -> UCUM."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,31}")

_Value = tuple[int, float, Quality]


class Mapper:
    """What is remembered of one pump: alarms, and what the round has brought so far."""

    def __init__(self, device: Device, provenance: Provenance, told: set[int]) -> None:
        """Keep the parts.

        Args:
            device: the pump.
            provenance: of its records.
            told: codes of values and texts that were reported so far, of an opening before, too;
                it is added to.
        """
        self._device = device
        self._provenance = provenance
        self._alarms: dict[Query, str] = {}
        self._volume: VolumeToBeInfused | None = None
        self._syringe: Syringe | None = None
        self._told = told
        self.unmapped = 0
        """Words, numbers and units that are in no table."""

    def unanswered(self, query: Query) -> None:
        """What the question brought before is not known any more."""
        match query:
            case Query.VOLUME_TO_BE_INFUSED:
                self._volume = None
            case Query.SYRINGE:
                self._syringe = None
            case Query.ALARM | Query.INFUSION:
                self._alarms.pop(query, None)

    def records(self, reply: Reply, received_us: int) -> list[Record | AlarmSnapshot]:
        """What an answer says."""
        match reply:
            case Infusion():
                self._alarms[Query.INFUSION] = reply.alarm
                return [self._report(reply, received_us), self._snapshot(received_us)]
            case Alarm(name):
                self._alarms[Query.ALARM] = name
                return [self._snapshot(received_us)]
            case VolumeToBeInfused():
                self._volume = reply
            case Syringe():
                self._syringe = reply
        return []

    def _report(self, said: Infusion, received_us: int) -> Report:
        values = list(self._values(said))
        gone = sorted((self._told & _NUMBERS) - {code for code, _, _ in values})
        values += [(code, math.nan, Quality.UNAVAILABLE) for code in gone]
        self._told.update(code for code, _, _ in values)
        codes, numbers, qualities = zip(*values, strict=True) if values else ((), (), ())
        return Report(
            self._device.device_id,
            KIND,
            self._provenance,
            received_us,
            codes,
            numbers,
            () if all(each is Quality.VALID for each in qualities) else qualities,
            bed=self._device.bed,
            enumerations=tuple(self._enumerations(said)),
            texts=tuple(self._texts(said)),
            ward=self._device.ward,
        )

    def _values(self, said: Infusion) -> Iterator[_Value]:
        amounts = [
            (terms.FLOW_RATE, said.rate),
            (terms.VOLUME_INFUSED, said.volume),
            (PRESSURE, said.pressure),
        ]
        if self._volume is not None:
            amounts.append((terms.VOLUME_TO_BE_INFUSED, self._volume.volume))
        if self._syringe is not None:
            amounts.append((SYRINGE_SIZE, self._syringe.size))
        for code, amount in amounts:
            if amount is not None:
                yield self._value(code, amount)
        left = said.time_left
        if left is not None:
            quality = Quality.OVERFLOW if left.at_least else Quality.VALID
            yield terms.TIME_REMAINING, left.minutes, quality

    def _value(self, code: int, amount: Amount) -> _Value:
        unit = UNITS.get(amount.unit.lower(), amount.unit)
        way = conversion(unit, terms.metric(code).unit)
        if amount.number is None or way is None:
            self.unmapped += 1
            return code, math.nan, Quality.INVALID
        return code, way.shown(amount.number), Quality.VALID

    def _enumerations(self, said: Infusion) -> Iterator[Enumeration]:
        if _WORD.fullmatch(said.mode):
            yield Enumeration(MODE, 0, said.mode.lower().replace(" ", "_"))
        elif said.mode:
            self.unmapped += 1

    def _texts(self, said: Infusion) -> Iterator[Text]:
        syringe = self._syringe.type if self._syringe is not None else ""
        for code, text in ((terms.DRUG_NAME, said.drug), (SYRINGE_TYPE, syringe)):
            if text or code in self._told:
                self._told.add(code)
                yield Text(code, text)

    def _snapshot(self, received_us: int) -> AlarmSnapshot:
        names = dict(self._alarms)
        if names.get(Query.INFUSION) == UNNAMED and names.get(Query.ALARM):
            del names[Query.INFUSION]  # it has a name, there
        shown = {name: device_alarm(name) for name in names.values() if name}
        alarms = sorted(shown.values(), key=lambda each: (-each.priority, each.condition))
        return AlarmSnapshot(
            self._device.device_id,
            self._provenance,
            received_us,
            tuple(alarms),
            self._device.bed,
        )
