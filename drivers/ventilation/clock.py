"""A device's clock that shows no more than minutes, or whole seconds.

A reading that is cut off bounds the clock's offset from ours on both sides: what was read at
``r`` and showed ``m`` was between ``m`` and ``m + resolution``. Readings narrow the bounds down,
most of all when the display has just moved on; once they are near enough the device's time is known
that well. A reading outside them means that one of the two clocks was set: begin again.
"""

from __future__ import annotations

NEAR_ENOUGH_US = 6_000_000
"""No better than the time between two polls can be had of a clock that shows minutes."""
DRIFT_US_PER_READING = 2_000
"""The bounds widen by so much with every reading, for clocks that run differently."""


class CutOffClock:
    """The offset between our clock and a device's, from readings that are cut off."""

    def __init__(self) -> None:
        self._low_us: int | None = None
        self._high_us = 0

    def device_us(self, shown_us: int, resolution_us: int, received_us: int) -> int:
        """Take a reading; the device's time now in Unix microseconds, 0 while it isn't known."""
        high_us = received_us - shown_us
        low_us = high_us - resolution_us
        if self._low_us is not None:
            low_us = max(low_us, self._low_us - DRIFT_US_PER_READING)
            high_us = min(high_us, self._high_us + DRIFT_US_PER_READING)
            if low_us > high_us:
                high_us = received_us - shown_us
                low_us = high_us - resolution_us
        self._low_us, self._high_us = low_us, high_us
        if high_us - low_us > NEAR_ENOUGH_US:
            return 0
        return received_us - (low_us + high_us) // 2
