"""Attribute values of waves: samples, how they are packed, and what they mean.

A wave's values come every 256 ms (SaObsValue, or SaObsValueCmp for several leads at once); what is
needed to understand them (SaSpec, ScaleRangeSpec16, SaFixedValSpec16) comes apart from them, one
wave's at a time. Structures are the Data Export guide's, "Wave object attributes".

Rules: as :mod:`drivers.intellivue.attributes`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from drivers.intellivue.primitives import bounds, float_value
from gateway.domain.errors import MalformedError

ARRAYS_MAX = 16
"""Of one compound: an ECG of twelve leads has twelve."""


class SampleArray(NamedTuple):
    """SaObsValue: the samples of one wave over one period."""

    physio_id: int
    state: int
    data: bytes
    """As packed by the wave's SampleSpec, big-endian."""


class SampleSpec(NamedTuple):
    """SaSpec: how the samples of a wave are packed."""

    array_size: int
    """Samples in one period."""
    bits: int
    """Of a sample in the array: 8 or 16."""
    significant_bits: int
    flags: int
    """:class:`~drivers.intellivue.nomenclature.SampleFlags`."""


class ScaleRange(NamedTuple):
    """ScaleRangeSpec16: two points of the line from samples to values in the wave's unit."""

    lower: float
    """NaN where a wave has no absolute values."""
    upper: float
    lower_scaled: int
    upper_scaled: int


class FixedValue(NamedTuple):
    """SaFixedValSpecEntry16: which bits of a sample mean what."""

    meaning: int
    """:class:`~drivers.intellivue.nomenclature.FixedValueId`, or another."""
    mask: int


_HEAD = struct.Struct(">HHH")
_SPEC = struct.Struct(">HBBH")
_SCALE = struct.Struct(">IIHH")
_ENTRY = struct.Struct(">HH")


def sample_array(data: bytes, offset: int, limit: int) -> SampleArray:
    """Decode SaObsValue.

    Raises:
        MalformedError: ``truncated`` or ``length``.
    """
    return _array(data, offset, limit)[0]


def sample_arrays(data: bytes, offset: int, limit: int) -> tuple[SampleArray, ...]:
    """Decode SaObsValueCmp.

    Raises:
        MalformedError: ``truncated`` or ``length``.
    """
    count, position, end = bounds(data, offset, limit)
    if count > ARRAYS_MAX:
        raise MalformedError("length", "SaObsValueCmp")
    found = []
    for _ in range(count):
        array, position = _array(data, position, end)
        found.append(array)
    if position != end:
        raise MalformedError("length", "SaObsValueCmp")
    return tuple(found)


def _array(data: bytes, offset: int, limit: int) -> tuple[SampleArray, int]:
    begin = offset + _HEAD.size
    if begin > limit:
        raise MalformedError("truncated", "SaObsValue")
    physio_id, state, length = _HEAD.unpack_from(data, offset)
    end = begin + length
    if end > limit:
        raise MalformedError("length", "SaObsValue")
    return SampleArray(physio_id, state, data[begin:end]), end


def sample_spec(data: bytes, offset: int, limit: int) -> SampleSpec:
    """Decode SaSpec.

    Raises:
        MalformedError: ``truncated``.
    """
    if offset + _SPEC.size > limit:
        raise MalformedError("truncated", "SaSpec")
    return SampleSpec(*_SPEC.unpack_from(data, offset))


def scale_range(data: bytes, offset: int, limit: int) -> ScaleRange:
    """Decode ScaleRangeSpec16.

    Raises:
        MalformedError: ``truncated``.
    """
    if offset + _SCALE.size > limit:
        raise MalformedError("truncated", "ScaleRangeSpec16")
    lower, upper, lower_scaled, upper_scaled = _SCALE.unpack_from(data, offset)
    return ScaleRange(float_value(lower), float_value(upper), lower_scaled, upper_scaled)


def fixed_values(data: bytes, offset: int, limit: int) -> tuple[FixedValue, ...]:
    """Decode SaFixedValSpec16.

    Raises:
        MalformedError: ``truncated`` or ``length``.
    """
    count, begin, end = bounds(data, offset, limit)
    if end - begin != count * _ENTRY.size:
        raise MalformedError("length", "SaFixedValSpec16")
    return tuple(FixedValue(*_ENTRY.unpack_from(data, at)) for at in range(begin, end, 4))
