"""Between which bounds a device clock's offset lies, and how they move.

The offset is device time minus moment, in microseconds. Bounds are true at one moment and grow
from there by the drift that the clock may have. Each window of prompt reports gives bounds of its
own; they are intersected with those before (Marzullo). Where nothing is left, the clock was set or
its rate changed: then the window's own count, and what was learnt of the drift is forgotten.

Drift is bounded by slopes: from an older window's bounds to a newer one's there are a steepest and
a least steep line, and the rate lies between, as far as it stayed the same (``Rule.wander``).
"""

from __future__ import annotations

from typing import Final, NamedTuple

POINTS_MAX: Final = 8
POINTS_EVERY_US: Final = 600_000_000
"""Windows kept for the slope: eight over more than an hour. After ten minutes it tells 50 ppm."""


class Rule(NamedTuple):
    """The configured part, in microseconds and shares of one."""

    delay_floor_us: int
    drift_max: float
    """200 ppm are 0.0002."""
    wander: float
    forget_us: int
    backlog_us: int


class Window(NamedTuple):
    """What a window of prompt reports showed."""

    opened_us: int
    best_us: int
    """The greatest of device time minus moment of receipt, and when it was received."""
    best_at_us: int


class Point(NamedTuple):
    """A window's own bounds, as of a moment, under the greatest drift."""

    at_us: int
    lo_us: int
    hi_us: int


class Bounds:
    """Of one device's clock."""

    __slots__ = ("at_us", "drift", "hi_us", "known", "lo_us", "points", "spread")

    def __init__(self, drift_max: float) -> None:
        self.known = False
        self.at_us = self.lo_us = self.hi_us = 0
        self.drift, self.spread = 0.0, drift_max
        """Share of one, positive when the device's clock is fast; and how far that may be wrong."""
        self.points: list[Point] = []

    def forget(self, drift_max: float) -> None:
        """Nothing is known any more."""
        self.known = False
        self.points.clear()
        self.drift, self.spread = 0.0, drift_max

    def at(self, moment_us: int) -> tuple[float, float]:
        """Lower and upper bound at a moment."""
        age = moment_us - self.at_us
        moved, grown = self.drift * age, self.spread * abs(age)
        return self.lo_us + moved - grown, self.hi_us + moved + grown

    def take(self, window: Window, now_us: int, resolution_us: int, rule: Rule) -> None:
        """Take a window that closes now."""
        floor_us = rule.delay_floor_us + resolution_us
        span, age = now_us - window.opened_us, now_us - window.best_at_us
        # Slopes must not rest on a drift that was learnt from slopes.
        steady = rule.drift_max
        point = Point(
            now_us,
            window.best_us - int(steady * age) - 1,
            window.best_us + floor_us + int(steady * span) + 1,
        )
        self._learn_drift(point, rule)
        lo = window.best_us + (self.drift - self.spread) * age
        # The quickest report may have come at any time of the window.
        hi = window.best_us + floor_us + (max(0.0, self.drift) + self.spread) * span
        if self.known:
            old_lo, old_hi = self.at(now_us)
            if max(lo, old_lo) <= min(hi, old_hi):
                lo, hi = max(lo, old_lo), min(hi, old_hi)
            else:
                self.forget(rule.drift_max)
                self.points.append(point)
                lo, hi = point.lo_us, point.hi_us
        self.known = True
        self.at_us, self.lo_us, self.hi_us = now_us, int(lo) - 1, int(hi) + 1

    def at_least(self, offset_us: int, now_us: int, resolution_us: int, rule: Rule) -> None:
        """Take a report that shows a greater offset than the upper bound.

        Then the clock was set by a little, or its rate changed: slopes across that say nothing.
        """
        lo, hi = self.at(now_us)
        self.points.clear()
        self.drift, self.spread = 0.0, rule.drift_max
        floor_us = rule.delay_floor_us + resolution_us
        self.at_us = now_us
        self.lo_us, self.hi_us = max(offset_us, int(lo)), max(int(hi) + 1, offset_us + floor_us)

    def _learn_drift(self, point: Point, rule: Rule) -> None:
        least, most = -rule.drift_max, rule.drift_max
        for old in self.points:
            apart = point.at_us - old.at_us
            if apart > 0:
                least = max(least, (point.lo_us - old.hi_us) / apart)
                most = min(most, (point.hi_us - old.lo_us) / apart)
        if least > most:
            self.points.clear()
            least, most = -rule.drift_max, rule.drift_max
        self.drift = (least + most) / 2
        self.spread = min((most - least) / 2 + rule.wander, rule.drift_max + abs(self.drift))
        if not self.points or point.at_us - self.points[-1].at_us >= POINTS_EVERY_US:
            self.points.append(point)
            del self.points[:-POINTS_MAX]
