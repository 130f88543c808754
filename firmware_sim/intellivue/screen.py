"""What a simulated monitor shows, in Wardgate's codes and units, as the protocol's objects.

A value that is NaN is shown as unavailable. Arterial and cuff pressures are compounds, as on a
real monitor; the cuff's carries its own time stamp, which changes only when its values do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from drivers.intellivue.attributes import AbsoluteTime, AlarmEntry, ManagedObject, NumericValue
from drivers.intellivue.metrics import SAME_AS
from drivers.intellivue.nomenclature import AlertType, Attribute, ObjectClass, State
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.encode import SimObject
from gateway.domain import terms, units
from gateway.domain.records import AlarmKind, AlarmPriority

_PHYSIO_IDS: Final = {code: physio_id for physio_id, code in SAME_AS.items()}
_BEATS_PER_MINUTE = 0x0AA0
_RESPIRATIONS_PER_MINUTE = 0x0AE0
_COMPOUNDS: Final = {
    0x4A14: (0x4A15, 0x4A16, 0x4A17),
    0x4A04: (0x4A05, 0x4A06, 0x4A07),
}
_CUFF = 0x4A04
_PARENTS: Final = {part: whole for whole, parts in _COMPOUNDS.items() for part in parts}
_ALERT_TYPES: Final = {
    (AlarmKind.PHYSIOLOGICAL, AlarmPriority.HIGH): AlertType.P_HIGH,
    (AlarmKind.PHYSIOLOGICAL, AlarmPriority.MEDIUM): AlertType.P_MEDIUM,
    (AlarmKind.PHYSIOLOGICAL, AlarmPriority.LOW): AlertType.P_LOW,
    (AlarmKind.TECHNICAL, AlarmPriority.HIGH): AlertType.T_HIGH,
    (AlarmKind.TECHNICAL, AlarmPriority.MEDIUM): AlertType.T_MEDIUM,
    (AlarmKind.TECHNICAL, AlarmPriority.LOW): AlertType.T_LOW,
}


class ShownAlarm(NamedTuple):
    """An alarm on the screen: ``code`` is the metric's, ``event`` the monitor's even event."""

    code: int
    event: int
    priority: AlarmPriority
    kind: AlarmKind
    text: str


class Screen(NamedTuple):
    """Everything shown at one moment.

    ``values`` maps metric codes to numbers in the metric's unit; ``states`` says which of them
    are not simply valid (a measurement state); ``rhythm`` is a term, 0 for none.
    """

    values: Mapping[int, float]
    alarms: Sequence[ShownAlarm] = ()
    rhythm: int = 0
    states: Mapping[int, int] = {}


def physio_id(code: int) -> int:
    """The monitor's own 16-bit code of a metric."""
    return _PHYSIO_IDS.get(code, code & 0xFFFF)


def _value(code: int, number: float, state: int) -> NumericValue:
    if math.isnan(number):
        state |= State.UNAVAILABLE
    return NumericValue(physio_id(code), state, _unit_code(code), number)


def _unit_code(code: int) -> int:
    if code == terms.RESP_RATE:
        return _RESPIRATIONS_PER_MINUTE
    ucum = terms.metric(code).unit
    if ucum == "/min":
        return _BEATS_PER_MINUTE
    unit = units.find(ucum)
    return 0 if unit is None else unit.code & 0xFFFF


class Objects:
    """Builds the objects of replies; handles stay the same for a metric."""

    def __init__(self) -> None:
        self._handles: dict[int, int] = {}
        self._cuff: tuple[NumericValue, ...] = ()
        self._cuff_at = b""

    def _handle(self, term: int) -> int:
        return self._handles.setdefault(term, 0x8200 + len(self._handles))

    def numerics(self, screen: Screen, wall: AbsoluteTime) -> list[SimObject]:
        """Numeric objects, compounds last."""
        objects: list[SimObject] = []
        compounds: dict[int, list[NumericValue]] = {}
        for code, number in screen.values.items():
            value = _value(code, number, screen.states.get(code, 0))
            whole = _PARENTS.get(value.physio_id)
            if whole is None:
                attributes = {int(Attribute.NUMERIC_VALUE): encode.numeric(value)}
                objects.append(SimObject(self._handle(value.physio_id), attributes))
            else:
                compounds.setdefault(whole, []).append(value)
        for whole, values in compounds.items():
            attributes = {int(Attribute.COMPOUND_VALUE): encode.compound(values)}
            if whole == _CUFF:
                if tuple(values) != self._cuff:
                    self._cuff, self._cuff_at = tuple(values), encode.absolute_time(wall)
                attributes = {int(Attribute.TIME_STAMP_ABSOLUTE): self._cuff_at, **attributes}
            objects.append(SimObject(self._handle(whole), attributes))
        return objects

    def enumerations(self, screen: Screen) -> list[SimObject]:
        """The rhythm, where the screen has one."""
        if not screen.rhythm:
            return []
        value = encode.enumeration(0xD007, 0, screen.rhythm)
        return [SimObject(self._handle(0xD007), {Attribute.ENUMERATION_VALUE: value})]

    def alert_monitor(self, screen: Screen) -> list[SimObject]:
        """The alert monitor object with both lists, complete."""
        lists: dict[AlarmKind, list[AlarmEntry]] = {
            AlarmKind.PHYSIOLOGICAL: [],
            AlarmKind.TECHNICAL: [],
        }
        for number, alarm in enumerate(screen.alarms, 1):
            source = physio_id(alarm.code)
            lists[alarm.kind].append(
                AlarmEntry(
                    source,
                    alarm.event,
                    _ALERT_TYPES[alarm.kind, alarm.priority],
                    0,
                    ManagedObject(ObjectClass.NUMERIC, 0, self._handle(source)),
                    instance=number,
                    text=alarm.text,
                )
            )
        return [
            SimObject(
                0x8401,
                {
                    Attribute.P_ALARM_LIST: encode.alarms(lists[AlarmKind.PHYSIOLOGICAL]),
                    Attribute.T_ALARM_LIST: encode.alarms(lists[AlarmKind.TECHNICAL]),
                },
            )
        ]
