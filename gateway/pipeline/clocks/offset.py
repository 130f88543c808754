"""What windows of reports say of one clock's offset, and which reports are prompt by that.

A window's greatest ``x`` says where the offset is (:mod:`gateway.pipeline.clocks.bounds`). Until
the first window closes nothing is prompt. A clock shows time cut off to its resolution, which is
the coarsest of :data:`RESOLUTIONS` that divides everything it showed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.pipeline.clocks.bounds import Bounds, Rule, Window
from gateway.pipeline.clocks.runs import BAND_US, DELAYED_US, WINDOW_RECEIPTS, WINDOW_US
from gateway.pipeline.clocks.succession import EVER, NEVER, PROMPT, Succession

RESOLUTIONS: Final = (60_000_000, 1_000_000, 100_000, 10_000, 1_000, 1)
"""Of clocks, in microseconds: minutes, seconds, and decimal parts."""
WINDOW_US_MAX: Final = 128_000_000
GROWN_US: Final = 3_000
"""A clock whose drift is known is looked at the less often."""
READ_US: Final = 10
"""Clocks are read one after the other."""


class Kept(NamedTuple):
    """What survives a restart, by moments."""

    at_us: int
    lo_us: int
    hi_us: int
    drift: float
    spread: float
    resolution_us: int
    told_us: int
    told_id: str
    measured_us: int
    measured_lo_us: int
    stepped_us: int
    stepped_at_us: int
    steps: int


class Offset(Succession):
    """Of one device's clock."""

    __slots__ = (
        "_opened",
        "best",
        "best_at",
        "bounds",
        "center",
        "depth",
        "due",
        "heard",
        "high",
        "low",
        "uncertainty",
    )

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule, RESOLUTIONS[0])
        self.bounds = Bounds(rule.drift_max)
        self.low, self.high, self.depth, self.due = 0, NEVER, EVER, NEVER
        """Before ``due``, prompt is ``low <= x <= high``, delayed ``depth <= x < low``."""
        self.center = self.uncertainty = 0
        self.best, self.best_at, self.heard = NEVER, 0, 0
        """Of this window: the greatest ``x``, when, and how many prompt receipts."""
        self._opened = 0

    def follow(self, rule: Rule) -> None:
        """Go on under a changed rule, from the next window on."""
        self._rule = rule

    def offset_us(self, g: int) -> int:
        """The best estimate at a moment: device clock minus moment."""
        if not self.bounds.known:
            return self.center
        lo, hi = self.bounds.at(g)
        return round((lo + hi) / 2)

    def offset_uncertainty_us(self, g: int) -> int:
        """How far that may be off; 0 before it is known."""
        if not self.bounds.known:
            return 0
        lo, hi = self.bounds.at(g)
        return max(1, round((hi - lo) / 2))

    def _refine(self, d: int, g: int) -> None:
        """Take note of a time that is shown more finely than any before."""
        while d % self.resolution:
            self.resolution = RESOLUTIONS[RESOLUTIONS.index(self.resolution) + 1]
            if self.bounds.known:
                self._place(g)

    def _learn_anew(self, x: int, g: int) -> None:
        """Forget the offset; the first guess is ``x``."""
        self.bounds.forget(self._rule.drift_max)
        self.low, self.high, self.depth, self.due = 0, NEVER, EVER, NEVER
        self.center = x
        self._open(g)

    def _open(self, g: int) -> None:
        self.best, self.best_at, self.heard, self._opened = NEVER, g, 0, g

    def _close(self, g: int) -> None:
        """Take what the window says, and open the next."""
        window = Window(self._opened, self.best, self.best_at)
        self.bounds.take(window, g, self.resolution, self._rule)
        # Of few steps nobody knows which are usual, and a row keeps the measure it began with.
        if self.heard >= WINDOW_RECEIPTS and self.how == PROMPT:
            self.turn()
        self._open(g)
        self._place(g)

    def _place(self, g: int) -> None:
        """Say what is prompt from now on, for the length of a window or longer."""
        bounds, resolution = self.bounds, self.resolution
        lo, hi = bounds.at(g)
        rate = bounds.spread + abs(bounds.drift)
        length = min(max(WINDOW_US, int(GROWN_US / rate)), WINDOW_US_MAX)
        ahead = bounds.drift * length
        grown = rate * length
        self.center = round((lo + hi - resolution + ahead) / 2)
        self.uncertainty = int((hi - lo + resolution) / 2 + grown) + READ_US
        self.low = int(lo - grown) - resolution - BAND_US
        self.high = int(hi + grown) + 1
        self.depth = self.center - min(DELAYED_US + resolution, self._rule.backlog_us)
        self.due = g + length
