"""Attribute values: FLOAT, observed values, alarm lists, labels, times.

Everything is big-endian and 2-byte aligned. An AttributeList is ``count, length`` and that many
``id, length, value``; attributes that this table does not know stay bytes. The patient's
demographics (class 2A, group 0807) are deliberately not in the table: they are never polled and
never decoded.

Rules: a length that does not fit its container is ``MalformedError("length")``, a value that
ends early ``MalformedError("truncated")``; nothing else is raised.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import NamedTuple

from drivers.intellivue import samples
from drivers.intellivue.nomenclature import Attribute
from drivers.intellivue.primitives import bounds, float_value
from drivers.intellivue.samples import FixedValue, SampleArray, SampleSpec, ScaleRange
from gateway.domain.errors import MalformedError

GENERAL_INFO, STRING_INFO = 513, 516
"""What follows an alarm entry: AlMonGenInfo, or StrAlMonInfo with the text shown."""


class NumericValue(NamedTuple):
    """NuObsValue: one measured number."""

    physio_id: int
    state: int
    unit_code: int
    value: float
    """NaN where the monitor has none."""


class EnumerationValue(NamedTuple):
    """EnumObsValue: one measured state."""

    physio_id: int
    state: int
    value: int
    """The state's own term; 0 where the choice carries none."""
    number: float = math.nan
    unit_code: int = 0


class ManagedObject(NamedTuple):
    """Which object; handles are unique only within their MDS context."""

    object_class: int
    context: int
    handle: int


class AlarmEntry(NamedTuple):
    """DevAlarmEntry: one alarm that the monitor shows."""

    source: int
    """What it is about: a metric where ``code`` is even, else an object (partition 1)."""
    code: int
    alert_type: int
    state: int
    subject: ManagedObject
    instance: int = 0
    text_id: int = 0
    priority: int = 0
    flags: int = 0
    text: str = ""


class AbsoluteTime(NamedTuple):
    """The monitor's local wall clock, as it shows it."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    hundredths: int


class TypeCode(NamedTuple):
    partition: int
    code: int


class AlertCondition(NamedTuple):
    """DeviceAlertCondition: the state of the alarm system as a whole."""

    state: int
    change_count: int
    max_p: int
    max_t: int
    max_audible: int


Value = (
    NumericValue
    | EnumerationValue
    | AlertCondition
    | AbsoluteTime
    | TypeCode
    | tuple[NumericValue, ...]
    | tuple[AlarmEntry, ...]
    | SampleArray
    | tuple[SampleArray, ...]
    | SampleSpec
    | ScaleRange
    | tuple[FixedValue, ...]
    | str
    | int
    | bytes
    | None
)
Attributes = dict[int, Value]


_NUMERIC = struct.Struct(">HHHI")
_ALARM = struct.Struct(">HHHHHHHHH")
_ALARM_INFO = struct.Struct(">HIHH")
_PAIR = struct.Struct(">HH")


def attribute_list(data: bytes, offset: int, limit: int) -> tuple[Attributes, int]:
    """Decode an AttributeList at ``offset``; return it and the offset behind it.

    Raises:
        MalformedError: a length that does not fit, or a value that ends early.
    """
    count, position, end = bounds(data, offset, limit)
    attributes: Attributes = {}
    for _ in range(count):
        if position + 4 > end:
            raise MalformedError("truncated", "attribute header")
        attribute, length = _PAIR.unpack_from(data, position)
        position += 4
        behind = position + length
        if behind > end:
            raise MalformedError("length", f"attribute {attribute:04x}")
        decoder = _DECODERS.get(attribute)
        if decoder is None:
            attributes[attribute] = data[position:behind]
        else:
            attributes[attribute] = decoder(data, position, behind)
        position = behind
    if position != end:
        raise MalformedError("length", "attribute list")
    return attributes, end


def _numeric(data: bytes, offset: int, limit: int) -> NumericValue:
    if offset + 10 > limit:
        raise MalformedError("truncated", "NuObsValue")
    physio_id, state, unit_code, word = _NUMERIC.unpack_from(data, offset)
    return NumericValue(physio_id, state, unit_code, float_value(word))


def _compound(data: bytes, offset: int, limit: int) -> tuple[NumericValue, ...]:
    count, begin, end = bounds(data, offset, limit)
    if end - begin < 10 * count:
        raise MalformedError("truncated", "NuObsValCmp")
    return tuple(_numeric(data, begin + 10 * i, end) for i in range(count))


def _enumeration(data: bytes, offset: int, limit: int) -> EnumerationValue:
    if offset + 8 > limit:
        raise MalformedError("truncated", "EnumObsVal")
    physio_id, state, choice, length = struct.unpack_from(">HHHH", data, offset)
    begin = offset + 8
    if begin + length > limit:
        raise MalformedError("length", "EnumObsVal")
    if choice == 1 and length >= 2:
        return EnumerationValue(physio_id, state, int.from_bytes(data[begin : begin + 2], "big"))
    if choice == 4 and length >= 8:
        value, word, unit_code = struct.unpack_from(">HIH", data, begin)
        return EnumerationValue(physio_id, state, value, float_value(word), unit_code)
    return EnumerationValue(physio_id, state, 0)


def _alarms(data: bytes, offset: int, limit: int) -> tuple[AlarmEntry, ...]:
    count, position, end = bounds(data, offset, limit)
    entries = []
    for _ in range(count):
        if position + _ALARM.size > end:
            raise MalformedError("truncated", "DevAlarmEntry")
        source, code, kind, state, cls, context, handle, info, length = _ALARM.unpack_from(
            data, position
        )
        position += _ALARM.size
        behind = position + length
        if behind > end:
            raise MalformedError("length", "DevAlarmEntry")
        entry = AlarmEntry(source, code, kind, state, ManagedObject(cls, context, handle))
        if info in (GENERAL_INFO, STRING_INFO):
            if length < _ALARM_INFO.size:
                raise MalformedError("truncated", "AlMonGenInfo")
            instance, text_id, priority, flags = _ALARM_INFO.unpack_from(data, position)
            text = ""
            if info == STRING_INFO:
                text = _string(data, position + _ALARM_INFO.size, behind)
            entry = entry._replace(
                instance=instance, text_id=text_id, priority=priority, flags=flags, text=text
            )
        entries.append(entry)
        position = behind
    if position != end:
        raise MalformedError("length", "DevAlarmList")
    return tuple(entries)


def _string(data: bytes, offset: int, limit: int) -> str:
    if offset + 2 > limit:
        raise MalformedError("truncated", "String")
    length = int.from_bytes(data[offset : offset + 2], "big")
    if offset + 2 + length > limit:
        raise MalformedError("length", "String")
    raw = data[offset + 2 : offset + 2 + (length & ~1)]
    # Sent NUL-terminated and padded with blanks; lone surrogates come from damage only.
    return raw.decode("utf-16-be", "replace").partition("\0")[0].strip()


def absolute_time(data: bytes, offset: int, limit: int) -> AbsoluteTime | None:
    """AbsoluteTime: eight BCD bytes; None where the monitor sent "unknown" (all FF).

    Raises:
        MalformedError: ``truncated``, or ``time`` where it is no BCD.
    """
    if offset + 8 > limit:
        raise MalformedError("truncated", "AbsoluteTime")
    raw = data[offset : offset + 8]
    if raw == b"\xff" * 8:
        return None
    digits = raw.hex()
    if not digits.isdecimal():
        raise MalformedError("time", "AbsoluteTime is no BCD")
    century, year, *rest = (int(digits[i : i + 2]) for i in range(0, 16, 2))
    return AbsoluteTime(century * 100 + year, *rest)


def _condition(data: bytes, offset: int, limit: int) -> AlertCondition:
    if offset + 10 > limit:
        raise MalformedError("truncated", "DeviceAlertCondition")
    return AlertCondition(*struct.unpack_from(">HHHHH", data, offset))


def _type(data: bytes, offset: int, limit: int) -> TypeCode:
    if offset + 4 > limit:
        raise MalformedError("truncated", "TYPE")
    return TypeCode(*_PAIR.unpack_from(data, offset))


def _word(data: bytes, offset: int, limit: int) -> int:
    if limit - offset < 2:
        raise MalformedError("truncated", "u16")
    return int.from_bytes(data[offset : offset + 2], "big")


def _long(data: bytes, offset: int, limit: int) -> int:
    if limit - offset < 4:
        raise MalformedError("truncated", "u32")
    return int.from_bytes(data[offset : offset + 4], "big")


_DECODERS: dict[int, Callable[[bytes, int, int], Value]] = {
    Attribute.P_ALARM_LIST: _alarms,
    Attribute.T_ALARM_LIST: _alarms,
    Attribute.ALERT_CONDITION: _condition,
    Attribute.BED_LABEL: _string,
    Attribute.HANDLE: _word,
    Attribute.LABEL_ID: _long,
    Attribute.LABEL_STRING: _string,
    Attribute.TYPE: _type,
    Attribute.COMPOUND_VALUE: _compound,
    Attribute.NUMERIC_VALUE: _numeric,
    Attribute.TIME_ABSOLUTE: absolute_time,
    Attribute.TIME_RELATIVE: _long,
    Attribute.TIME_STAMP_ABSOLUTE: absolute_time,
    Attribute.TIME_STAMP_RELATIVE: _long,
    Attribute.UNIT_CODE: _word,
    Attribute.ENUMERATION_VALUE: _enumeration,
    Attribute.POLL_PERIOD: _long,
    Attribute.SAMPLES: samples.sample_array,
    Attribute.SAMPLES_COMPOUND: samples.sample_arrays,
    Attribute.SAMPLE_SPEC: samples.sample_spec,
    Attribute.SAMPLE_PERIOD: _long,
    Attribute.SCALE_RANGE: samples.scale_range,
    Attribute.FIXED_VALUES: samples.fixed_values,
}
