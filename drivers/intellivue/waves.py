"""A monitor's waves -> blocks of waveforms in the metric's own unit.

Rules:

- A wave's samples mean something only with its *context* (rate, packing, scale, unit), which the
  monitor tells for one wave a second, among the samples of all. Until then they are left out and
  counted. Waves are known by MDS context, handle and physio id: all leads of an ECG share a handle.
- A compound of leads has another rate than its leads alone, and a context of its own: a context
  fits when its array has as many samples as came.
- Time is the reply's relative time, when the period of 256 ms began; samples are counted on from
  it. What is missing between two blocks of a wave is said with the second. A block that comes
  twice is dropped; one that comes late and closes a hole is kept: its start tells where it belongs.
- Where the spec says that a sample's range is extended, the bits beyond the significant ones are
  marks and are masked. Several marks may share such a bit and differ in lower ones: the whole mask
  must be there. A sample with such a bit and no mark that fits is marked invalid.
- A wave without absolute values (a plethysmogram) becomes per cent of its full scale where its
  metric is in per cent. What can't be brought into the metric's unit is left out and counted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeVar

from drivers.intellivue.attributes import Attributes
from drivers.intellivue.messages import ObservedObject, PollReply
from drivers.intellivue.metrics import known
from drivers.intellivue.nomenclature import (
    TICKS_PER_SECOND,
    Attribute,
    FixedValueId,
    SampleFlags,
)
from drivers.intellivue.samples import FixedValue, SampleArray, SampleSpec, ScaleRange
from drivers.intellivue.units import conversion
from gateway.domain import terms
from gateway.domain.records import Mark, Marked, Quality, Waveform

WAVES_MAX = 64
"""Waves, and contexts, remembered: a monitor exports eleven at most."""
HOLES_MAX = 8
"""Holes of a wave that a late block may still close."""
GAP_S_MAX = 60
"""What is longer is the connection's: a Gap record tells of it."""
BITS_OF_A_BYTE = 8
_WRAP = 1 << 32
_MARKS = {
    FixedValueId.INVALID: Mark.INVALID,
    FixedValueId.PACER: Mark.PACED,
    FixedValueId.DEFIB_MARKER: Mark.DEFIBRILLATED,
    FixedValueId.SATURATION: Mark.SATURATED,
}
"""A QRS mark says where a beat is, and nothing of the sample."""
_T = TypeVar("_T")
_Key = tuple[int, int, int]
"""MDS context, handle, physio id."""


class _Context(NamedTuple):
    """What the samples of one wave mean."""

    spec: SampleSpec
    period: int
    """Ticks between two samples."""
    scale: ScaleRange
    unit_code: int
    fixed: tuple[FixedValue, ...]

    @property
    def size(self) -> int:
        """Bytes of one period."""
        return self.spec.array_size * self.spec.bits // BITS_OF_A_BYTE


class _Line:
    """Where a wave is in time, in ticks."""

    def __init__(self, start: int) -> None:
        self.due = start
        self.holes: list[tuple[int, int]] = []
        """Where each begins, and its length."""

    def fill(self, ticks: int, length: int) -> bool:
        """Close a hole, or a part of it; False when there is none at that place."""
        for i, (start, size) in enumerate(self.holes):
            into = _apart(ticks, start)
            if into >= 0 and into + length <= size:
                rest = ((start, into), (ticks + length, size - into - length))
                self.holes[i : i + 1] = [each for each in rest if each[1]]
                return True
        return False


class Waves:
    """One association's waves.

    Args:
        quality_of: of a measurement state.
    """

    def __init__(self, quality_of: Callable[[int], Quality]) -> None:
        self._quality_of = quality_of
        self._contexts: dict[_Key, _Context] = {}
        self._lines: dict[_Key, _Line] = {}
        self.unclear = 0
        """Blocks left out: no context yet, or no way into the metric's unit."""
        self.repeated = 0
        """Blocks left out: they had come before."""

    def blocks(self, reply: PollReply, start_us: int) -> Iterator[Waveform]:
        """Every block of a reply of the class of waves, whose period began at ``start_us``."""
        for observed in reply.objects:
            self._learn(observed)
        for observed in reply.objects:
            for array in _arrays(observed.attributes):
                block = self._block(observed, array, reply.relative_time, start_us)
                if block is not None:
                    yield block

    def _learn(self, observed: ObservedObject) -> None:
        told = observed.attributes
        label, unit = told.get(Attribute.LABEL_ID), told.get(Attribute.UNIT_CODE)
        spec, scale = told.get(Attribute.SAMPLE_SPEC), told.get(Attribute.SCALE_RANGE)
        period, fixed = told.get(Attribute.SAMPLE_PERIOD), told.get(Attribute.FIXED_VALUES, ())
        if (
            isinstance(label, int)
            and isinstance(unit, int)
            and isinstance(period, int)
            and isinstance(spec, SampleSpec)
            and isinstance(scale, ScaleRange)
            and isinstance(fixed, tuple)
            and period > 0
        ):
            key = (observed.context, observed.handle, label & 0xFFFF)
            marks = tuple(each for each in fixed if isinstance(each, FixedValue))
            _remember(self._contexts, key, _Context(spec, period, scale, unit, marks))

    def _block(
        self, observed: ObservedObject, array: SampleArray, ticks: int, start_us: int
    ) -> Waveform | None:
        key = (observed.context, observed.handle, array.physio_id)
        context = self._context(key, len(array.data))
        row = known(array.physio_id, context.unit_code) if context is not None else None
        line = _scale(context, row) if context is not None and row is not None else None
        if context is None or row is None or line is None or not array.data:
            self.unclear += 1
            return None
        samples = _samples(array.data, context.spec.bits)
        missing = self._place(key, ticks, len(samples), context.period)
        if missing is None:
            self.repeated += 1
            return None
        marks: tuple[Marked, ...] = ()
        if context.spec.flags & SampleFlags.EXTENDED_RANGE:
            samples, marks = _unmarked(samples, context)
        return Waveform(
            row.code,
            start_us,
            TICKS_PER_SECOND / context.period,
            line[0],
            line[1],
            samples,
            self._quality_of(array.state),
            missing,
            marks,
        )

    def _context(self, key: _Key, size: int) -> _Context | None:
        found = self._contexts.get(key)
        if found is not None and found.size == size:
            return found
        # A lead within a compound: the context is the compound's.
        fitting = (
            context
            for (mds, handle, _), context in self._contexts.items()
            if (mds, handle) == key[:2] and context.size == size
        )
        return next(fitting, None)

    def _place(self, key: _Key, ticks: int, count: int, period: int) -> int | None:
        """How many samples are missing before a block; None when it had come before."""
        line = self._lines.get(key)
        if line is None:
            line = _Line(ticks)
        _remember(self._lines, key, line)
        late = _apart(ticks, line.due)
        length = count * period
        if late < 0:
            return 0 if line.fill(ticks, length) else None
        missing = round(late / period)
        if missing > GAP_S_MAX * TICKS_PER_SECOND / period:
            missing = 0
            line.holes.clear()
        elif missing:
            line.holes = [*line.holes[1 - HOLES_MAX :], (line.due, late)]
        line.due = (ticks + length) % _WRAP
        return missing


def _arrays(told: Attributes) -> Iterator[SampleArray]:
    for attribute in (Attribute.SAMPLES, Attribute.SAMPLES_COMPOUND):
        found = told.get(attribute)
        if isinstance(found, SampleArray):
            yield found
        elif isinstance(found, tuple):
            yield from (each for each in found if isinstance(each, SampleArray))


def _samples(data: bytes, bits: int) -> tuple[int, ...]:
    return tuple(data) if bits == BITS_OF_A_BYTE else struct.unpack(f">{len(data) // 2}H", data)


def _scale(context: _Context, row: terms.Metric) -> tuple[float, float] | None:
    """Scale and offset from a sample to the metric's unit; None where there is no way."""
    lower, upper, low, high = context.scale
    if low == high:
        return None
    if math.isnan(lower) or math.isnan(upper):
        return (100 / (high - low), -100 * low / (high - low)) if row.unit == "%" else None
    how = conversion(context.unit_code, row.unit)
    if how is None or not math.isfinite(lower) or not math.isfinite(upper):
        return None
    scale = (upper - lower) / (high - low)
    return scale * how.factor, (lower - low * scale) * how.factor + how.offset


def _unmarked(
    samples: tuple[int, ...], context: _Context
) -> tuple[tuple[int, ...], tuple[Marked, ...]]:
    """Samples without their marks, and the marks as runs."""
    value_bits = (1 << context.spec.significant_bits) - 1
    if max(samples) <= value_bits:
        return samples, ()
    found: dict[Mark, list[int]] = {}
    for place, sample in enumerate(samples):
        if sample > value_bits:
            for mark in _marks_of(sample, context.fixed):
                found.setdefault(mark, []).append(place)
    marks = [Marked(*run, mark) for mark, places in found.items() for run in _runs(places)]
    marks.sort(key=lambda each: (each.first, each.mark))
    return tuple(sample & value_bits for sample in samples), tuple(marks)


def _marks_of(sample: int, fixed: Sequence[FixedValue]) -> Iterable[Mark]:
    fits = [each.meaning for each in fixed if each.mask and sample & each.mask == each.mask]
    if not fits:
        return (Mark.INVALID,)
    return [_MARKS[FixedValueId(each)] for each in fits if each in _MARKS]


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First place and length of each run of neighbours."""
    for _, run in groupby(enumerate(places), lambda each: each[1] - each[0]):
        members = [place for _, place in run]
        yield members[0], len(members)


def _apart(ticks: int, since: int) -> int:
    """Ticks from one relative time to another; negative backwards."""
    return (ticks - since + _WRAP // 2) % _WRAP - _WRAP // 2


def _remember(memory: dict[_Key, _T], key: _Key, content: _T) -> None:
    """Keep ``content`` as the newest; the oldest goes when there are too many."""
    memory.pop(key, None)
    if len(memory) >= WAVES_MAX:
        memory.pop(next(iter(memory)))
    memory[key] = content
