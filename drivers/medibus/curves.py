"""Records of the realtime stream -> blocks of waveforms.

A device says of each curve how often it has a sample (its interval) and what a sample means (its
range and how many steps that has). We ask for about 50 Hz of each, so that curves take at most half
of a slow line. Samples are placed in time by counting, see :mod:`drivers.ventilation.timeline`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from drivers.medibus.realtime import Values
from drivers.medibus.replies import CurveConfig
from drivers.medibus.tables import CURVES
from drivers.ventilation.timeline import Timeline
from gateway.domain import terms
from gateway.domain.records import Mark, Marked, Waveform
from gateway.domain.units import conversion

CURVES_MAX: Final = 4
"""Streams 1 to 4: on a line of 9600 baud there is no room for more."""
WANTED_US: Final = 20_000
"""Between two samples, or the device's interval where that is longer."""
MULTIPLIER_MAX: Final = 0xFF
BLOCK_S: Final = 1.0


class Curve(NamedTuple):
    """One that is asked for."""

    config: CurveConfig
    metric: int
    unit: str
    multiplier: int

    @property
    def rate_hz(self) -> float:
        """Samples per second."""
        return 1e6 / (self.config.interval_us * self.multiplier)


def plan(offered: Sequence[CurveConfig]) -> tuple[Curve, ...]:
    """Which of the curves that a device has are asked for; of one metric, one."""
    by_code = {config.code: config for config in offered}
    chosen: dict[int, Curve] = {}
    for row in CURVES:
        config = by_code.get(row.code)
        if config is None or row.metric in chosen or len(chosen) >= CURVES_MAX:
            continue
        multiplier = min(MULTIPLIER_MAX, max(1, round(WANTED_US / config.interval_us)))
        chosen[row.metric] = Curve(config, row.metric, row.unit, multiplier)
    return tuple(chosen.values())


class _Stream:
    """The samples of one curve since its last block."""

    def __init__(self, curve: Curve) -> None:
        how = conversion(curve.unit, terms.metric(curve.metric).unit)
        assert how is not None, "tables.CURVES has units that convert"
        config = curve.config
        self.metric = curve.metric
        self.rate_hz = curve.rate_hz
        self.steps = config.steps
        self.scale = (config.high - config.low) / config.steps * how.factor
        self.offset = how(config.low)
        self.block_samples = max(1, round(BLOCK_S * curve.rate_hz))
        self.samples: list[int] = []
        self.missing: list[int] = []
        self.timeline = Timeline(curve.rate_hz)

    def take(self, sample: int) -> bool:
        """Whether the block is full now."""
        self.samples.append(sample)
        return len(self.samples) >= self.block_samples

    def lose(self) -> bool:
        """One sample, as the one before; whether the block is full now."""
        if not self.samples:
            return False
        self.missing.append(len(self.samples))
        return self.take(self.samples[-1])

    def block(self, monotonic_s: float, wall_us: int) -> Waveform:
        """What was collected, of which the last has just come."""
        placed = self.timeline.place(len(self.samples), monotonic_s, wall_us)
        gone = [Marked(at, 1, Mark.MISSING) for at in self.missing]
        full = [
            Marked(at, 1, Mark.SATURATED)
            for at, sample in enumerate(self.samples)
            if sample in (0, self.steps)
        ]
        made = Waveform(
            self.metric,
            placed.start_us,
            self.rate_hz,
            self.scale,
            self.offset,
            tuple(self.samples),
            missing_before=placed.missing_before,
            marks=tuple(sorted(gone + full, key=lambda mark: (mark.first, mark.mark))),
        )
        self.samples.clear()
        self.missing.clear()
        return made


class Streams:
    """The curves that a device sends."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self._streams = [_Stream(curve) for curve in curves]

    def take(self, record: Values, monotonic_s: float, wall_us: int) -> list[Waveform]:
        """The blocks that a record completed."""
        full = [
            self._streams[number]
            for number, sample in record.samples.items()
            if number < len(self._streams) and self._streams[number].take(sample)
        ]
        return [stream.block(monotonic_s, wall_us) for stream in full]

    def lose(self, monotonic_s: float, wall_us: int) -> list[Waveform]:
        """A record was damaged: each curve may have had a sample in it."""
        full = [stream for stream in self._streams if stream.lose()]
        return [stream.block(monotonic_s, wall_us) for stream in full]

    def rest(self, monotonic_s: float, wall_us: int) -> list[Waveform]:
        """What was begun."""
        begun = [stream for stream in self._streams if stream.samples]
        return [stream.block(monotonic_s, wall_us) for stream in begun]
