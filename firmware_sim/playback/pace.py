"""When the next piece is due: as it was recorded, faster or slower, or at once."""

from __future__ import annotations

from gateway.domain.errors import ConfigError

AT_ONCE = "max"
SPEED_MAX = 1_000_000.0


def speed_of(words: str) -> float:
    """``1``, ``10x``, ``0.5``; 0.0 for ``max``.

    Raises:
        ConfigError: it is none of these.
    """
    if words == AT_ONCE:
        return 0.0
    try:
        speed = float(words.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ConfigError(f"--speed {words}: a number such as 1, 10 or 0.5, or {AT_ONCE}")
    return speed


class Pace:
    """Turns recorded times into due times of a clock in seconds.

    A wait that was no part of the recording (for the gateway's turn) shifts what follows: the
    pauses between pieces stay as they were recorded.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._before_us: int | None = None
        self._due = 0.0

    def due(self, at_us: int, now: float) -> float:
        """When a piece of this time is to be sent, not before ``now``."""
        before_us, self._before_us = self._before_us, at_us
        if before_us is None or not self._speed:
            self._due = now
            return now
        self._due += max(0, at_us - before_us) / 1e6 / self._speed
        # Late by a wait: go on from here. Late by less than a beat is made good.
        if now - self._due > LATE_S_MAX:
            self._due = now
        return max(self._due, now)


LATE_S_MAX = 0.25
