"""Reports in a row that contradict what is known of a clock: late, or was it set?

Counted are receipts, not reports: what is read at once was late alike, however much it is.

- Higher than the clock allows: it was set forward, once a second receipt says so. One is a slip.
- Lower by no more than the delays of a busy network: set back, if a whole window is as low and
  most of it agrees with its quickest. Such delays vary, and then most does not.
- Lower by more: set back, if they agree, and for as long as a backlog may take. Lower than any
  backlog: as if higher.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.pipeline.clocks.bounds import Rule

BAND_US: Final = 50_000
"""The jitter of delivery on a quiet network, and what a hospital wants to know of."""
DELAYED_US: Final = 2_000_000
"""The delays of a busy one."""
WINDOW_US: Final = 16_000_000
"""At 200 ppm a clock moves 3 ms in it."""
WINDOW_RECEIPTS: Final = 8
"""As many as NTP's clock filter."""
SLOW_RECEIPTS: Final = 4
"""Enough of a device that reports seldom."""


class Side(Enum):
    """Where a report lies that is not prompt."""

    ABOVE = "above"
    """Or lower than any backlog."""
    DELAYED = "delayed"
    FAR_BELOW = "far below"


def side_of(low_by_us: int, resolution_us: int, rule: Rule) -> Side:
    """By how much it lies below the best estimate."""
    if low_by_us < 0 or low_by_us > rule.backlog_us:
        return Side.ABOVE
    return Side.DELAYED if low_by_us <= DELAYED_US + resolution_us else Side.FAR_BELOW


def proof_us(resolution_us: int) -> int:
    """After so long a backlog has left the band, if it comes a quarter faster than life."""
    return 4 * (BAND_US + resolution_us)


def enough(receipts: int, span_us: int, resolution_us: int) -> bool:
    """Whether so many, equally late within the band, were not late at all."""
    if span_us < proof_us(resolution_us):
        return False
    return receipts >= (SLOW_RECEIPTS if span_us >= WINDOW_US else WINDOW_RECEIPTS)


class Run:
    """One; it begins with its first receipt, and ends with the next prompt report.

    Args:
        side: where all of it lies.
        x: device time minus moment of receipt.
        g: the moment.
    """

    __slots__ = ("best", "best_at", "count", "first", "last", "near", "opened", "side")

    def __init__(self, side: Side, x: int, g: int) -> None:
        self.side = side
        self.first = self.best = x
        self.opened = self.best_at = self.last = g
        self.count = self.near = 1
        """Receipts, and those that agree with the greatest ``x``."""

    def agrees(self, side: Side, x: int, resolution_us: int) -> bool:
        """Whether a report may be of this run."""
        if side is not self.side:
            return False
        apart = BAND_US if side is Side.FAR_BELOW else DELAYED_US
        return side is Side.DELAYED or abs(x - self.first) <= apart + resolution_us

    def take(self, x: int, g: int) -> None:
        """Take one that agrees."""
        above = x - self.best
        if g != self.last:
            self.last = g
            self.count += 1
            self.near += above >= -BAND_US
        if above > 0:
            if above > BAND_US:
                self.near = 1
            self.best, self.best_at = x, g

    def tells(self, g: int, resolution_us: int, rule: Rule) -> bool:
        """Whether the clock was set."""
        span = g - self.opened
        if self.side is Side.ABOVE:
            return self.count > 1 and span >= proof_us(resolution_us)
        if self.side is Side.DELAYED:
            whole = self.count >= SLOW_RECEIPTS and span >= WINDOW_US
            return whole and 2 * self.near > self.count
        return enough(self.count, span, resolution_us) and span >= rule.forget_us
