"""When the samples of a curve were taken, from when they arrived.

Samples are counted on from an anchor, so that the jitter of arrival is not in the times. Nothing
arrives before it was taken: what seems to moves the anchor back. A device whose clock runs slower
than ours moves it slowly on. What is late by more than :data:`LATE_S` means that samples are
missing: the next block says how many, and the anchor moves on by them.
"""

from __future__ import annotations

from math import floor
from typing import NamedTuple

LATE_S = 2.0
"""Less is jitter: of a port's buffers, of a busy machine, of a journal that is behind."""
CREEP = 0.002
"""Share of the time by which the anchor may move on: far more than clocks differ by."""
CREEP_FROM_S = 0.1
GAP_S_MAX = 60.0
"""A longer gap is the connection's: a Gap record tells of it, and samples are counted anew."""


class Placed(NamedTuple):
    """Where a block belongs."""

    start_us: int
    missing_before: int


class Timeline:
    """Of curves that share their sampling."""

    def __init__(self, rate_hz: float) -> None:
        self._rate_hz = rate_hz
        self._next_s: float | None = None
        """Monotonic time at which the next sample is due."""

    def place(self, samples: int, monotonic_s: float, wall_us: int) -> Placed:
        """The place of a block of so many samples of which the last has just arrived."""
        length_s = samples / self._rate_hz
        arrived_s = monotonic_s - length_s
        due_s, missing = self._next_s, 0
        if due_s is None or arrived_s - due_s > GAP_S_MAX:
            due_s = arrived_s
        late_s = arrived_s - due_s
        if late_s < 0:
            due_s = arrived_s
        elif late_s > LATE_S:
            missing = floor(late_s * self._rate_hz + 1e-6)
            due_s += missing / self._rate_hz
        elif late_s > CREEP_FROM_S:
            due_s += min(late_s, CREEP * length_s)
        self._next_s = due_s + length_s
        return Placed(wall_us - round((monotonic_s - due_s) * 1e6), missing)
