"""Device time against receive time.

Drivers deliver metrics in their canonical units (a metric has one unit inside Wardgate) and the
bed of the registry's Device; what is left to normalise is time. Device time is kept as the
device said it; beside it stand its offset from the receive time and how far it can be trusted:

- GOOD within the configured bound, OFFSET beyond it, IMPLAUSIBLE before the configured date or
  too far in the future, NONE when the device gave no time.
- A report is *late* when it is older than the device's usual offset explains: a device that was
  cut off delivers what it kept. A wrong clock alone makes nothing late. Lateness can't be told
  from a clock that was set back, so it expires after a while without a timely report.
"""

from __future__ import annotations

from gateway.domain.records import Report, TimeQuality
from gateway.pipeline.config import TimeRule
from gateway.pipeline.seen import Seen

NONE, GOOD, OFFSET, IMPLAUSIBLE = map(int, TimeQuality)


class Clockwork:
    """The time rule in microseconds."""

    __slots__ = ("_ahead_us", "_before_us", "_forget_s", "_good_us", "_stale_us")

    def __init__(self, rule: TimeRule) -> None:
        self._good_us = round(rule.good_offset_s * 1e6)
        self._before_us = rule.implausible_before * 1_000_000
        self._ahead_us = round(rule.implausible_ahead_s * 1e6)
        self._stale_us = round(rule.stale_s * 1e6)
        self._forget_s = rule.stale_forget_s

    def look(self, report: Report, seen: Seen, mono: float) -> tuple[int, int, bool]:
        """(time quality, offset, came late) of a report; keeps its device's books."""
        device_us = report.device_us
        if not device_us:
            return NONE, 0, False
        offset_us = device_us - report.received_us
        seen.offset_us = offset_us
        quality = self.judge(device_us, offset_us)
        return quality, offset_us, quality != IMPLAUSIBLE and self.late(seen, offset_us, mono)

    def judge(self, device_us: int, offset_us: int) -> int:
        """The TimeQuality of a report with this device time and offset, as a plain int."""
        if device_us == 0:
            return NONE
        if -self._good_us <= offset_us <= self._good_us:
            return GOOD
        if device_us < self._before_us or offset_us > self._ahead_us:
            return IMPLAUSIBLE
        return OFFSET

    def late(self, seen: Seen, offset_us: int, mono: float) -> bool:
        """Whether a report with this offset came late, by what is known of its device."""
        usual = seen.usual_us
        if usual is None or offset_us >= usual - self._stale_us:
            # Delivery only ever adds delay, so the greatest offset is the clock's own. It sinks
            # by a hundredth a report, to follow a clock that is slow or was set back a little.
            if usual is None or offset_us > usual:
                seen.usual_us = offset_us
            else:
                seen.usual_us = usual - (usual - offset_us) // 100
            seen.late_since = None
            return False
        if seen.late_since is None:
            seen.late_since = mono
        elif mono - seen.late_since >= self._forget_s:
            seen.usual_us = offset_us
            seen.late_since = None
            return False
        return True
