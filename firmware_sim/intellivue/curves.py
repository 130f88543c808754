"""Curves of a simulated monitor: an ECG, a plethysmogram, an arterial pressure, respiration.

They are functions of time alone, so that what a gateway received can be held against what was
drawn. Packing and scales are those of a real monitor (M8003A): 14 bits in 5 uV at 500 Hz with marks
beyond them, 12 bits without absolute values at 125 Hz, sixteenths of a mmHg at 125 Hz, and 0.6 mOhm
at 62.5 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from drivers.intellivue.nomenclature import TICKS_PER_SECOND, FixedValueId, SampleFlags
from drivers.intellivue.samples import FixedValue, SampleSpec, ScaleRange
from firmware_sim.intellivue.encode import WaveContext

PERIOD_TICKS: Final = 2048
"""Samples come every 256 ms."""
SATURATED, PACED = 0x8008, 0x8004
_ECG_MARKS = (
    FixedValue(FixedValueId.SATURATION, SATURATED),
    FixedValue(FixedValueId.DEFIB_MARKER, 0x4001),
    FixedValue(FixedValueId.PACER, PACED),
)
_BEAT_S, _BREATH_S = 0.8, 4.0


class Curve(NamedTuple):
    """One wave."""

    handle: int
    context: WaveContext
    draw: Callable[[float], int]
    """Sample at a time, in seconds since the monitor started."""

    def samples(self, ticks: int) -> tuple[int, ...]:
        """Those of the period that begins at a relative time."""
        period = self.context.period
        count = self.context.spec.array_size
        return tuple(self.draw((ticks + i * period) / TICKS_PER_SECOND) for i in range(count))


def _ecg(t: float) -> int:
    phase = t % _BEAT_S
    r = 900 * math.exp(-(((phase - 0.25) / 0.012) ** 2))
    wave = 120 * math.exp(-(((phase - 0.10) / 0.03) ** 2))
    wave += 180 * math.exp(-(((phase - 0.48) / 0.05) ** 2))
    return 8192 + round(r + wave)


def _pleth(t: float) -> int:
    return 2048 + round(900 * math.sin(2 * math.pi * t / _BEAT_S))


def _pressure(t: float) -> int:
    return 160 + 16 * 40 + round(16 * (95 + 25 * math.sin(2 * math.pi * t / _BEAT_S)))


def _breath(t: float) -> int:
    return 1600 + round(600 * math.sin(2 * math.pi * t / _BREATH_S))


_MARKED = SampleFlags.STATIC_SCALE | SampleFlags.EXTENDED_RANGE
CURVES: Final[Mapping[str, Curve]] = {
    "MDC_ECG_ELEC_POTL_II": Curve(
        686,
        WaveContext(
            0x0102,
            SampleSpec(128, 16, 14, _MARKED),
            16,
            0x10B2,
            ScaleRange(-40.96, 40.955, 0, 0x3FFF),
            _ECG_MARKS,
        ),
        _ecg,
    ),
    "MDC_PULS_OXIM_PLETH": Curve(
        986,
        WaveContext(
            0x4BB4,
            SampleSpec(32, 16, 12, SampleFlags.SMOOTH_CURVE),
            64,
            0x0200,
            ScaleRange(math.nan, math.nan, 0, 0x0FFF),
        ),
        _pleth,
    ),
    "MDC_PRESS_BLD_ART": Curve(
        2332,
        WaveContext(
            0x4A10,
            SampleSpec(32, 16, 13, SampleFlags.SMOOTH_CURVE),
            64,
            0x0F20,
            ScaleRange(-40.0, 520.0, 160, 9120),
        ),
        _pressure,
    ),
    "MDC_IMPED_TTHOR": Curve(
        696,
        WaveContext(
            0x5000,
            SampleSpec(16, 16, 12, SampleFlags.SMOOTH_CURVE),
            128,
            0x10C0,
            ScaleRange(-0.6, 1.9, 0, 0x0FFF),
        ),
        _breath,
    ),
}
"""By REFID, in the order in which a monitor shows them."""
