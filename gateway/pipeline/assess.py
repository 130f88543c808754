"""Is each value what a sensor in order can have said?

A bad value is marked, not hidden: it stays in the report with its quality. What the device
itself marked keeps its mark. A value outside the metric's plausible range, NaN or infinite is
INVALID (0 mm[Hg] or 0 % is a sensor that came off; a heart rate of 0 is asystole and valid).
A valid value of a report that came late is QUESTIONABLE.
"""

from __future__ import annotations

from gateway.domain.records import Quality
from gateway.pipeline.plan import Plan

_VALID = int(Quality.VALID)
_QUESTIONABLE = int(Quality.QUESTIONABLE)
_INVALID = int(Quality.INVALID)


def calm(plan: Plan, values: tuple[float, ...]) -> bool:
    """True when every value is plausible and beyond no alarm limit; NaN never is."""
    for value, low, high in zip(values, plan.calm_lows, plan.calm_highs, strict=True):
        if not low <= value <= high:  # so, since a comparison with NaN is false
            return False
    return True


def plausible(plan: Plan, values: tuple[float, ...]) -> bool:
    """True when every value is in its metric's range; NaN and infinity never are."""
    return all(
        low <= value <= high for value, low, high in zip(values, plan.lows, plan.highs, strict=True)
    )


def mark(
    plan: Plan, values: tuple[float, ...], claimed: tuple[int, ...], *, stale: bool
) -> tuple[int, ...]:
    """The quality of each value, or an empty tuple when all are valid.

    Args:
        plan: of the report.
        values: as the driver delivered them.
        claimed: what the device says of them; empty: all valid.
        stale: the report came late.
    """
    if not claimed and not stale and plausible(plan, values):
        return ()
    good = _QUESTIONABLE if stale else _VALID
    qualities = tuple(
        quality if quality != _VALID else good if low <= value <= high else _INVALID
        for value, quality, low, high in zip(
            values, claimed or (_VALID,) * len(values), plan.lows, plan.highs, strict=True
        )
    )
    return () if all(quality == _VALID for quality in qualities) else qualities
