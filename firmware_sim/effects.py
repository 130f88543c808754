"""What faults do to a device's behaviour while they last."""

from __future__ import annotations


class Effects:
    """How a device behaves at the moment."""

    def __init__(self) -> None:
        self.silent = False
        self.repeat = False
        self._offset_us = 0
        self._drift_ppm = 0.0
        self._drift_since_us = 0

    def set_clock(self, offset_s: float, drift_ppm: float, now_us: int) -> None:
        """Let the device's clock be off, and run fast or slow, from now on."""
        self._offset_us = int(offset_s * 1e6)
        self._drift_ppm = drift_ppm
        self._drift_since_us = now_us

    def clock_offset_us(self, now_us: int) -> int:
        """By how much the device's clock is wrong."""
        drifted = (now_us - self._drift_since_us) * self._drift_ppm / 1e6
        return self._offset_us + int(drifted)
