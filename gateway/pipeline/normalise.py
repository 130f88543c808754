"""Device time against receive time: when a report was measured, and how surely.

Drivers deliver metrics in their canonical units (a metric has one unit inside Wardgate) and the
bed of the registry's Device; what is left to normalise is time. Device time and receive time are
kept as they were said. Beside them stand:

- The offset between the two, and how far device time can be trusted: GOOD within the configured
  bound, OFFSET beyond it, IMPLAUSIBLE before the configured date or too far in the future, NONE
  when the device gave no time.
- When it was measured, on the gateway's clock, and how far that may be off: from the device's clock
  as it is estimated (:mod:`gateway.pipeline.clocks.device`), across the steps of the gateway's own
  (:mod:`gateway.pipeline.clocks.steady`). Without a device time that is the time of receipt.
- Marks: what is particular about that time.

A report is *late* when it is older than the device's clock explains: a device that was cut off
delivers what it kept. A wrong clock alone makes nothing late. Where lateness can't be told from a
clock that was set back, it expires after a while without a timely report.
"""

from __future__ import annotations

from gateway.domain.ports import Clock
from gateway.domain.records import Report, TimeMark, TimeQuality
from gateway.pipeline.clocks.bounds import Rule
from gateway.pipeline.clocks.device import DeviceClock
from gateway.pipeline.clocks.keeping import Keeping
from gateway.pipeline.clocks.steady import Steady
from gateway.pipeline.clocks.succession import PROMPT
from gateway.pipeline.config import TimeRule
from gateway.pipeline.seen import Seen
from gateway.wire.reports import Measured

NONE, GOOD, OFFSET, IMPLAUSIBLE = map(int, TimeQuality)
UNCERTAIN, LATE, SET, GATEWAY_SET, UNDATED, UNSYNCHRONISED = map(int, TimeMark)


When = tuple[int, int, bool, Measured]
"""TimeQuality, offset_us, whether it came late, and when it was measured."""


class Clockwork:
    """The time rule in microseconds, and the gateway's clock as it is set."""

    def __init__(self, rule: TimeRule, clock: Clock, devices_max: int = 20_000) -> None:
        self.steady = Steady(clock, round(rule.slew_max_s * 1e6))
        self.keeping = Keeping(self.steady, devices_max)
        self._own_error_us = 0
        self._own_marks = 0
        self.follow(rule)

    def follow(self, rule: TimeRule) -> None:
        """Go on under a changed rule."""
        self._good_us = round(rule.good_offset_s * 1e6)
        self._before_us = rule.implausible_before * 1_000_000
        self._ahead_us = round(rule.implausible_ahead_s * 1e6)
        self._stale_us = round(rule.stale_s * 1e6)
        self._undated_us = round(rule.undated_s * 1e6)
        self._limit_us = round(rule.uncertain_s * 1e6)
        self._rule = Rule(
            round(rule.delay_floor_s * 1e6),
            rule.drift_max_ppm / 1e6,
            rule.wander_ppm / 1e6,
            round(rule.stale_forget_s * 1e6),
            round(rule.backlog_s * 1e6),
        )
        self.steady.follow(round(rule.slew_max_s * 1e6))
        self.own_clock(self._own_error_us, synchronised=not self._own_marks)

    def own_clock(self, error_us: int, *, synchronised: bool) -> None:
        """How far the gateway's own clock may be off; it adds to what is told of each report."""
        self._own_error_us = error_us
        self._own_marks = 0 if synchronised else UNSYNCHRONISED
        self._room_us = self._limit_us - error_us if synchronised else -1

    def look(self, report: Report, seen: Seen) -> When:  # noqa: C901, PLR0912, PLR0915  # a call costs as much as most of this
        """When a report was measured; keeps its device's books."""
        device_us = report.device_us
        if not device_us:
            return self._undated(report.received_us)
        offset_us = device_us - report.received_us
        seen.offset_us = offset_us
        clock = seen.clock
        if clock is None:
            clock = seen.clock = self.keeping.clock_of(report.device_id, self._rule)
        steady = self.steady
        base_us = steady.base_us
        x = offset_us + base_us
        g = device_us - x
        uncertainty_us = 0
        if not clock.low <= x <= clock.high or g >= clock.due or device_us % clock.resolution:
            if (
                clock.depth <= x < clock.low
                and clock.told <= device_us
                and steady.calm_from_us <= g < clock.due
                and not device_us % clock.resolution
            ):
                uncertainty_us = clock.delayed(device_us, g, report.message_id)
            if not uncertainty_us:
                when = self._unusual(report, clock, offset_us)
                if when is not None:
                    return when
                base_us = steady.base_us
                g = steady.received_us(report.received_us)
                x = device_us - g
        if uncertainty_us:
            measured = clock.measured
        else:
            # Prompt: what DeviceClock keeps of such a report is kept here.
            if g != clock.told_g:
                clock.told_g = g
                clock.heard += 1
            if x > clock.best:
                clock.best = x
                clock.best_at = g
            if not clock.gap_min <= device_us - clock.told <= clock.gap_max:
                clock.widen(device_us - clock.told)
            uncertainty_us = clock.uncertainty
            measured = device_us - clock.center
            if measured > g:  # noqa: PLR1730  # a call of min costs more than all of this line
                measured = g
            if measured < clock.measured:
                # No earlier than the one before; the bounds are still around where it was alone.
                alone, measured = measured, min(clock.measured, g)
                uncertainty_us += measured - alone
            clock.told = device_us
            clock.told_id = report.message_id
            clock.measured = measured
            clock.claimed = uncertainty_us
            clock.how = PROMPT
        marks = self._own_marks
        if uncertainty_us > self._room_us:
            marks |= UNCERTAIN
        if -self._good_us <= offset_us <= self._good_us:
            quality = GOOD
        else:
            quality = self.judge(device_us, offset_us)
        late = clock.center - x > self._stale_us and quality != IMPLAUSIBLE
        if late:
            marks |= LATE
        if measured >= steady.calm_from_us:
            return quality, offset_us, late, (measured + base_us, uncertainty_us, marks, 0)
        return quality, offset_us, late, self._told(measured, uncertainty_us, marks)

    def judge(self, device_us: int, offset_us: int) -> int:
        """The TimeQuality of a report with this device time and offset, as a plain int."""
        if device_us == 0:
            return NONE
        if -self._good_us <= offset_us <= self._good_us:
            return GOOD
        if device_us < self._before_us or offset_us > self._ahead_us:
            return IMPLAUSIBLE
        return OFFSET

    def _unusual(self, report: Report, clock: DeviceClock, offset_us: int) -> When | None:
        """The long way of what no known clock explains; None: it is prompt after all.

        Whoever submits has glanced at the gateway's own clock.
        """
        device_us = report.device_us
        g = self.steady.received_us(report.received_us)
        if clock.is_again(device_us, g, report.message_id):
            measured_us, claimed_us, stepped = clock.measured, clock.claimed, False
            late_us = clock.center - device_us + g
        else:
            placed = clock.take(device_us, g, report.message_id)
            if placed is None:
                return None
            measured_us, claimed_us, late_us, stepped = placed
        quality = self.judge(device_us, offset_us)
        late = late_us > self._stale_us and quality != IMPLAUSIBLE
        marks = self._own_marks
        if late:
            marks |= LATE
        if stepped:
            marks |= SET
        if not 0 < claimed_us <= self._room_us:
            marks |= UNCERTAIN
        return quality, offset_us, late, self._told(measured_us, claimed_us, marks)

    def _undated(self, received_us: int) -> When:
        moment_us = received_us - self.steady.base_us
        marks = self._own_marks | UNDATED
        if self._undated_us > self._room_us:
            marks |= UNCERTAIN
        return NONE, 0, False, self._told(moment_us, self._undated_us, marks)

    def _told(self, moment_us: int, uncertainty_us: int, marks: int) -> Measured:
        """A moment's time, with what the steps of the gateway's clock do to it."""
        if moment_us >= self.steady.calm_from_us:
            return moment_us + self.steady.base_us, uncertainty_us, marks, 0
        told = self.steady.tell(moment_us)
        if self.steady.steps:
            marks |= GATEWAY_SET
        if uncertainty_us:
            uncertainty_us += told.doubt_us
            if uncertainty_us > self._room_us:
                marks |= UNCERTAIN
        return told.wall_us, uncertainty_us, marks, told.order_us
