"""Refusals for the audit log: each kind is told, a flood of one is summed up.

Anybody who reaches a listener can be refused as often as they like, so refusals must not be able
to fill a disk or push older evidence out. Within one window each (reason, transport, device,
host) is written once, all of them together :data:`SINGLES_PER_WINDOW_MAX` times; the rest is
counted and written as one sum per (reason, transport) when the window ends.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from gateway.domain.ports import Clock

WINDOW_S = 60.0
SINGLES_PER_WINDOW_MAX = 100
SUMS_MAX = 256
"""Reasons times transports; both are words of ours, so this is not reached."""
_OTHER = ("other", "other")


class Sum(NamedTuple):
    """Refusals of one kind that were not written one by one."""

    reason: str
    transport: str
    refusals: int


class RefusalTally:
    """Which refusals to write, and the sums to write at a window's end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._singles: set[tuple[str, str, str, str]] = set()
        self._sums: Counter[tuple[str, str]] = Counter()

    def single(self, reason: str, transport: str, host: str, device_id: str) -> bool:
        """Note a refusal; True when it is to be written by itself."""
        kind = (reason, transport, device_id, host)
        if kind not in self._singles and len(self._singles) < SINGLES_PER_WINDOW_MAX:
            self._singles.add(kind)
            return True
        key = (reason, transport)
        if key not in self._sums and len(self._sums) >= SUMS_MAX:
            key = _OTHER
        self._sums[key] += 1
        return False

    def due(self) -> bool:
        """Whether the window has ended."""
        return self._clock.monotonic() - self._began >= WINDOW_S

    def roll(self) -> list[Sum]:
        """Begin a new window; returns the sums of the one that ended."""
        sums = [Sum(*kind, count) for kind, count in sorted(self._sums.items())]
        self._began = self._clock.monotonic()
        self._singles.clear()
        self._sums.clear()
        return sums
