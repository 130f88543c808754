"""When the blocks of a curve began, of a device that sends them without a usable time.

Blocks arrive with the line's jitter, in bursts after a pause, and the device's clock is not the
gateway's. So time is counted on from an anchor, the first block's arrival:

- The next block begins where the last one ended. The difference to the arrival is followed by a
  small share per block, which takes up the clocks' drift and hides the jitter.
- Something may be missing only where the driver saw damage; then the arrival says how much, in
  whole blocks, since it is messages that are lost.
- A block that comes later than :data:`LATE_S_MAX` has a gap before it in any case: the device had
  stopped. (A line that is paused because the journal is behind delivers late what it kept; that is
  no gap.)
- The gateway's wall clock may jump: the count goes on by the monotonic clock, and only what a jump
  changes is changed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from drivers.base.dialogue import Moment

LATE_S_MAX: Final = 15.0
FOLLOWED: Final = 1 / 256
"""Of the difference, per block: clocks that differ by 100 ppm stay within 26 ms at one block a
second, and a block that comes 100 ms late moves its successors by 0.4 ms."""
JUMP_US: Final = 50_000
"""The wall clock has been set if it moved by more against the monotonic one between two blocks."""


class Begun(NamedTuple):
    """Where a block lies."""

    start_us: int
    """Unix microseconds of its first sample."""
    missing: int
    """Samples known to be missing directly before it."""


class BlockTimes:
    """One curve's time."""

    def __init__(self) -> None:
        self._due_s: float | None = None
        """When the next block's first sample was taken, monotonic."""
        self._wall_us = 0
        """Wall time of monotonic zero."""

    def take(self, samples: int, rate_hz: float, now: Moment, *, damaged: bool) -> Begun:
        """Place a block that has just arrived; ``damaged``: bytes were lost since the last one."""
        length_s = samples / rate_hz
        arrived_s = now.monotonic_s - length_s
        wall_us = now.wall_us - round(now.monotonic_s * 1e6)
        if self._due_s is None or abs(wall_us - self._wall_us) > JUMP_US:
            self._wall_us = wall_us
        begin_s, missing = arrived_s, 0
        if self._due_s is not None:
            late_s = arrived_s - self._due_s
            if late_s > LATE_S_MAX:
                missing = round(late_s * rate_hz)
            elif late_s < -LATE_S_MAX:
                missing = 0
            else:
                lost = max(0, round(late_s / length_s)) if damaged else 0
                missing = lost * samples
                begin_s = self._due_s + lost * length_s
                begin_s += (arrived_s - begin_s) * FOLLOWED
        self._due_s = begin_s + length_s
        return Begun(self._wall_us + round(begin_s * 1e6), missing)
