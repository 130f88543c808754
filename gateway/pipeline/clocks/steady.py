"""The gateway's wall clock, whose steps break neither estimates nor order.

Inside the pipeline, time is counted by the monotonic clock, in whole microseconds: here called a
*moment*. ``base_us`` is the wall clock's reading at moment zero, so that moment + base = wall
time. On Linux both clocks run at the same, disciplined rate (clock_gettime(2)); the base therefore
changes only when the wall clock is *stepped*: by a person, by a time service that starts, by the
kernel at a leap second. Rules:

1. :meth:`Steady.look` notices a step of more than :data:`STEP_US_MIN`.
2. *Order time* never goes backwards. It follows a step forward at once. After a step back it runs
   at half speed until the wall clock has caught up.
3. What is told as the time of a moment is order time, while that is at most ``slew_max_us`` ahead
   of the wall clock, and its uncertainty says by how much it is. Beyond that it is the wall clock,
   which was far off before the step, and order time is told beside it.
4. What was measured before a step has the order time that it had.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.domain.ports import Clock

STEP_US_MIN: Final = 2_000
"""The two clocks are read one after the other: a busy process may come in between."""
READS_MAX: Final = 5
SEGMENTS_MAX: Final = 16
"""Steps remembered, for what was measured before them and comes late."""


class Segment(NamedTuple):
    """From a moment on: the base, and how far order time was ahead of the wall clock there."""

    from_us: int
    base_us: int
    ahead_us: int

    def ahead_at(self, moment_us: int) -> int:
        """How far order time is ahead of the wall clock at a moment of this segment."""
        return max(0, self.ahead_us - max(0, moment_us - self.from_us) // 2)


class Told(NamedTuple):
    """A moment's time."""

    wall_us: int
    doubt_us: int
    """How far order time may be off for having been told instead of the wall clock."""
    order_us: int
    """0: the same as ``wall_us``."""


class Steady:
    """Watches a clock; to be used on the loop's thread."""

    def __init__(self, clock: Clock, slew_max_us: int) -> None:
        """Begin with the clock as it is now."""
        self._clock = clock
        self._slew_max_us = slew_max_us
        now_us, base_us = self._read()
        self.base_us = base_us
        self.calm_from_us = -(1 << 62)
        """What was measured from here on has the base's time, and no order time of its own."""
        self.steps = 0
        """Noticed since the start."""
        self.stepped_us = 0
        """By how much, the last time."""
        self.stepped_at_us = 0
        """When, as a moment."""
        self._segments = [Segment(now_us, base_us, 0)]

    def follow(self, slew_max_us: int) -> None:
        """Go on under a changed limit."""
        self._slew_max_us = slew_max_us

    def moment_us(self) -> int:
        """Now."""
        return int(self._clock.monotonic() * 1e6)

    def glance(self, monotonic_s: float) -> None:
        """Look closer if the wall clock isn't where it ought to be at this monotonic time."""
        off_us = self._clock.now_us() - int(monotonic_s * 1e6) - self.base_us
        if not -STEP_US_MIN < off_us < STEP_US_MIN:
            self.look()

    def look(self) -> int:
        """Compare the clocks; the step in microseconds, 0 for none."""
        now_us, base_us = self._read()
        step_us = base_us - self.base_us
        if abs(step_us) <= STEP_US_MIN:
            return 0
        self._step(now_us, base_us)
        self.steps += 1
        self.stepped_us, self.stepped_at_us = step_us, now_us
        return step_us

    def received_us(self, wall_us: int) -> int:
        """The moment of a time of receipt, which may have been read before the last step."""
        last = self._segments[-1]
        moment_us = wall_us - last.base_us
        if len(self._segments) == 1:
            return moment_us
        earliest, latest = last.from_us - STEP_US_MIN, self.moment_us() + STEP_US_MIN
        if earliest <= moment_us <= latest:
            return moment_us
        before_us = wall_us - self._segments[-2].base_us
        return before_us if before_us <= last.from_us else moment_us

    def order_us(self, moment_us: int) -> int:
        """Order time of a moment; it rises with the moment."""
        segment = self._segments[0]
        for later in reversed(self._segments):
            if later.from_us <= moment_us:
                segment = later
                break
        return moment_us + segment.base_us + segment.ahead_at(moment_us)

    def tell(self, moment_us: int) -> Told:
        """The time of a moment, by the rules above."""
        order_us = self.order_us(moment_us)
        wall_us = moment_us + self.base_us
        if 0 <= order_us - wall_us <= self._slew_max_us:
            return Told(order_us, order_us - wall_us, 0)
        return Told(wall_us, 0, order_us if order_us != wall_us else 0)

    def resume(self, segment: Segment) -> None:
        """Go on from what was said before a restart of the process, under the same kernel."""
        self.base_us = segment.base_us
        self._segments = [segment]
        self._settle()
        self.look()

    def not_before(self, order_us: int) -> None:
        """Order time had come so far before the machine was started anew."""
        now_us = self.moment_us()
        if self.order_us(now_us) < order_us:
            ahead_us = order_us - now_us - self.base_us
            self._segments = [Segment(now_us, self.base_us, ahead_us)]
            self._settle()

    @property
    def segment(self) -> Segment:
        """What :meth:`resume` takes."""
        return self._segments[-1]

    def _step(self, now_us: int, base_us: int) -> None:
        ahead_us = max(0, self.order_us(now_us) - now_us - base_us)
        self._segments.append(Segment(now_us, base_us, ahead_us))
        del self._segments[:-SEGMENTS_MAX]
        self.base_us = base_us
        self._settle()

    def _settle(self) -> None:
        last = self._segments[-1]
        self.calm_from_us = last.from_us + 2 * last.ahead_us

    def _read(self) -> tuple[int, int]:
        """A moment and the base, from the closest of a few pairs of readings."""
        best: tuple[int, int, int] | None = None
        for _ in range(READS_MAX):
            before = self._clock.monotonic()
            wall_us = self._clock.now_us()
            after = self._clock.monotonic()
            apart_us = int((after - before) * 1e6)
            middle_us = int((before + after) * 5e5)
            if best is None or apart_us < best[0]:
                best = (apart_us, middle_us, wall_us - middle_us)
            if apart_us < STEP_US_MIN // 20:
                break
        assert best is not None
        return best[1], best[2]
