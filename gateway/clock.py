"""The Clock port over the machine's clocks."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time in microseconds and a monotonic time in seconds."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds since some fixed point; never jumps."""
        return time.monotonic()
