"""The monitor's clock: relative ticks to Unix time.

Replies carry relative time (eighths of a millisecond since the monitor started, 32 bits: it
wraps after 6.2 days). The MDS object, read with every keep-alive, shows relative time beside
the wall clock; the wall clock has whole seconds, is cut off, and is local without a zone, which
the configuration must supply.

Each reading therefore bounds the clock's origin from below within a second; the greatest of
them is the best, until one differs by more than that: then the clock was set.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from drivers.intellivue.attributes import AbsoluteTime

TICK_US = 125
_WRAP = 1 << 32
_CUT_OFF_US = 1_000_000
_TOLERANCE_US = 50_000
"""A reading may be taken a little after its relative time stamp."""


def to_unix_us(when: AbsoluteTime, zone: tzinfo) -> int | None:
    """Unix microseconds of the monitor's wall clock; None where that is no date.

    In the hour that a zone has twice, the first one is meant.
    """
    try:
        moment = datetime(
            when.year, when.month, when.day, when.hour, when.minute, when.second, tzinfo=zone
        )
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000 + when.hundredths * 10_000


class MonitorClock:
    """Anchored by readings of the MDS object; answers with Unix microseconds."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._ticks = 0
        self._at_us: int | None = None

    def anchor(self, ticks: int, when: AbsoluteTime) -> None:
        """Take a reading of both clocks."""
        at_us = to_unix_us(when, self.zone)
        if at_us is None:
            return
        expected = self.unix_us(ticks)
        if expected is not None and 0 <= expected - at_us < _CUT_OFF_US + _TOLERANCE_US:
            at_us = max(at_us, expected)
        self._ticks = ticks
        self._at_us = at_us

    def unix_us(self, ticks: int) -> int | None:
        """Unix microseconds of a relative time; None before the first reading."""
        if self._at_us is None:
            return None
        passed = (ticks - self._ticks) % _WRAP
        if passed >= _WRAP // 2:
            passed -= _WRAP
        return self._at_us + passed * TICK_US
