"""Jittered exponential back-off."""

from __future__ import annotations

import random

FACTOR = 2.0


class Backoff:
    """Delays that double up to a limit; each is drawn between half of it and all of it."""

    def __init__(self, s_min: float, s_max: float, rng: random.Random) -> None:
        self._s_min = s_min
        self._s_max = s_max
        self._rng = rng
        self._next = s_min

    def reset(self) -> None:
        """What was tried works: begin anew."""
        self._next = self._s_min

    def delay(self) -> float:
        """Seconds to wait before the next try."""
        limit = self._next
        self._next = min(limit * FACTOR, self._s_max)
        return limit * (0.5 + self._rng.random() / 2)
