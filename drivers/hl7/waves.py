"""Arrays (NA) -> waveforms: an array with a sampling rate among the rows below it (IHE PCD WCM).

The rows below an array at ``1.7.6.131329`` are those at ``1.7.6.131329.1`` and on: the rate, or
the period, and the resolution of a sample. An array without a rate is no waveform.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from drivers.hl7.observation import Row
from gateway.domain import units
from gateway.domain.records import Waveform

RATES: Final = frozenset(("MDC_ATTR_SAMP_RATE", "MDC_ATTR_SAMPLE_RATE"))
PERIODS: Final = frozenset(("MDC_ATTR_TIME_PD_SAMP", "MDC_ATTR_SAMP_PERIOD"))
RESOLUTIONS: Final = frozenset(("MDC_ATTR_NU_MSMT_RES",))
RATE_HZ_MAX: Final = 50_000.0
SAMPLE_MAX: Final = 2.0**31
"""A block's samples have 32 bits."""


def waveform(
    row: Row, below: Mapping[str, Row], start_us: int, metric_unit: str
) -> Waveform | None:
    """The waveform of an array; None if it has no rate, or its samples are no numbers of 32 bits.

    Args:
        row: the array.
        below: the number rows below it, by REFID.
        start_us: when its first sample was taken.
        metric_unit: what physical values are in; empty: as they come.
    """
    rate_hz = _first(below, RATES)
    if math.isnan(rate_hz):
        period_s = _first(below, PERIODS, "s")
        rate_hz = 1 / period_s if period_s > 0 else math.nan
    resolution = next((below[each] for each in RESOLUTIONS if each in below), None)
    scale = 1.0 if resolution is None or math.isnan(resolution.value) else resolution.value
    have = resolution.unit if resolution is not None and resolution.unit else row.unit
    how = units.conversion(have, metric_unit) if have and metric_unit else units.SAME
    if not 0 < rate_hz <= RATE_HZ_MAX or how is None:
        return None
    if not all(abs(each) < SAMPLE_MAX and each.is_integer() for each in row.samples):
        return None
    return Waveform(
        code=row.code,
        start_us=start_us,
        sample_rate_hz=rate_hz,
        scale=scale * how.factor,
        offset=how.offset,
        samples=tuple(map(int, row.samples)),
        quality=row.quality,
    )


def _first(below: Mapping[str, Row], refids: frozenset[str], to: str = "Hz") -> float:
    for refid in refids:
        found = below.get(refid)
        if found is not None:
            how = units.conversion(found.unit, to) if found.unit else units.SAME
            return math.nan if how is None else how(found.value)
    return math.nan
