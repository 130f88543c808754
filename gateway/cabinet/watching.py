"""What can be seen at all: absence counts only while somebody looked.

Each place has a clock that runs while every antenna of it works. How long a tag was absent is the
difference of two readings of that clock, so that an outage adds nothing to any absence.

All times here are microseconds: ``t`` on a line that never jumps, ``us`` of the wall clock.
"""

from __future__ import annotations

from typing import NamedTuple

SECOND_US = 1_000_000


class At(NamedTuple):
    """An instant by both clocks."""

    us: int
    t: int

    def before(self, age_us: int) -> At:
        """The instant ``age_us`` earlier."""
        return At(self.us - age_us, self.t - age_us)

    def placed(self, us: int) -> At:
        """The instant that was at ``us`` of the wall clock; none is later than this one."""
        return self.before(max(0, self.us - us))


class WatchClock:
    """Counts the time during which a place was seen."""

    __slots__ = ("_base", "_since", "blind_from")

    def __init__(self) -> None:
        self._base = 0
        self._since: int | None = None
        self.blind_from: At | None = None
        """Since when it is not seen; None while it is, and before it ever was."""

    @property
    def runs(self) -> bool:
        """Whether the place is seen."""
        return self._since is not None

    def start(self, at: At) -> At | None:
        """It is seen from now on; since when it was not, where that is known."""
        if self._since is None:
            self._since = at.t
        blind, self.blind_from = self.blind_from, None
        return blind

    def stop(self, at: At) -> None:
        """It is not seen any more, since ``at``."""
        if self._since is not None:
            self._base += max(0, at.t - self._since)
            self._since = None
            self.blind_from = at

    def at(self, t: int) -> int:
        """The clock's reading at ``t``; of a past run: as it is at most."""
        if self._since is None or t <= self._since:
            return self._base
        return self._base + t - self._since
