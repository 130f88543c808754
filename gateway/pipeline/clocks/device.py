"""When a device's reports were measured, by what is known of its clock.

A report comes with the device's time ``d`` and the moment of receipt ``g``; both in microseconds.
Between lies delivery, of unknown length, never negative. So ``x = d - g`` is at most the clock's
offset, and the greatest ``x`` of many is the nearest to it: the clock filter of NTP (RFC 5905, 10)
with one way only. What bounds the offset from above can't be measured with one way; it is

- *Assumption 1*: of a window's receipts the quickest took ``delay_floor_us`` at most. A delay that
  all have in common is not seen. A clock's first window is WINDOW_RECEIPTS within the band of the
  quickest, or SLOW_RECEIPTS over WINDOW_US; later ones are of WINDOW_US at least.

A report is *prompt* when its ``x`` lies no more than ``BAND_US`` below the bounds, and *delayed*
when it lies no more than ``DELAYED_US`` below the estimate. Neither teaches anything but a window's
greatest ``x``, and both cost a few comparisons. A delayed one was measured when the clock says, if
it went on by one of the device's usual steps (*assumption 2*: no clock is set back by just as long
as its device was silent); else between then and its receipt, as the clock may have been set back by
as much. Anything else is late, or the clock was set. Told apart by:

- Numbered later and yet of an earlier device time: set back.
- The device's time went on by one of its usual steps: late.
- Else what stays so (:mod:`gateway.pipeline.clocks.runs`).

While that is open, what is claimed rests on order alone
(:mod:`gateway.pipeline.clocks.succession`). *Assumption 3*: a step doesn't hide behind a delay of
its own size or a greater one. A step smaller than ``BAND_US`` and what the clock cuts off is
followed with the next window and not called one.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.pipeline.clocks.bounds import Rule
from gateway.pipeline.clocks.offset import READ_US, Kept, Offset
from gateway.pipeline.clocks.runs import (
    BAND_US,
    DELAYED_US,
    SLOW_RECEIPTS,
    WINDOW_US,
    Run,
    Side,
    enough,
    side_of,
)
from gateway.pipeline.clocks.succession import (
    DELAYED,
    IN_ROW,
    NEVER,
    PROMPT,
    Order,
    follows,
    order_of,
)


class Placed(NamedTuple):
    """When a report was measured that was not prompt."""

    measured_us: int
    """As a moment."""
    uncertainty_us: int
    """0: nothing is claimed."""
    late_us: int
    """By how much it seems to have come late."""
    stepped: bool
    """It told that the clock was set."""


class DeviceClock(Offset):
    """One device.

    What a prompt report needs is done by ``Clockwork.look``, thousands of times a second: it reads
    the public attributes, and writes ``best`` to ``heard`` and those of Succession.
    """

    __slots__ = ("_doubted", "_first", "_run", "_suspect", "stepped_at", "stepped_by", "steps")

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self.stepped_by, self.stepped_at, self.steps = 0, 0, 0
        """When the clock was set, how far, and how often."""
        self._first = NEVER
        """The ``x`` that learning began with."""
        self._run: Run | None = None
        """A prompt report ends it: it counts no more where ``how`` is PROMPT."""
        self._doubted = False
        """A report was late or showed a step: one that looks prompt must prove that it is."""
        self._suspect = False
        """What it was remained unexplained: then the clock is learnt anew."""

    # What the pipeline calls

    def delayed(self, d: int, g: int, message_id: str) -> int:
        """Take a report that is delayed by the present bounds, and of no earlier device time.

        Returns:
            How far ``measured`` may be off; 0: it needs :meth:`take`.
        """
        x = d - g
        usual = self.how & IN_ROW and self.usual_min <= d - self.told <= self.usual_max
        if usual and not follows(message_id, self.told_id):
            return 0
        if not (usual and self.center - x > self.hidden_us):
            run = self._run
            if self.how == PROMPT or run is None or run.side is not Side.DELAYED:
                self._run = Run(Side.DELAYED, x, g)
            elif g - run.opened >= WINDOW_US:
                return 0
            else:
                run.take(x, g)
        elif self.how == PROMPT:
            self._run = None
        return self._place_delayed(d, g, message_id, DELAYED | IN_ROW if usual else DELAYED)

    def is_again(self, d: int, g: int, message_id: str) -> bool:
        """Whether a report was received together with the one before, and is of the same time.

        Then no more is known of it than ``measured`` and ``claimed`` say, which went by order.
        """
        same = self.by_order and d == self.told and g == self.told_g
        if not same or not follows(message_id, self.told_id):
            return False
        self.told_id = message_id
        return True

    def take(self, d: int, g: int, message_id: str) -> Placed | None:
        """Take a report that is not prompt by the present bounds, or not surely.

        Returns:
            When it was measured; None: it is prompt by bounds that are new now.
        """
        self._refine(d, g)
        return self._known(d, g, message_id) if self.bounds.known else self._learn(d, g, message_id)

    def keep(self) -> Kept | None:
        """What :meth:`restore` takes; None while nothing is known."""
        bounds = self.bounds
        if not bounds.known:
            return None
        return Kept(
            bounds.at_us,
            bounds.lo_us,
            bounds.hi_us,
            bounds.drift,
            bounds.spread,
            self.resolution,
            self.told,
            self.told_id,
            self.measured,
            self.before()[0],
            self.stepped_by,
            self.stepped_at,
            self.steps,
        )

    def restore(self, kept: Kept) -> None:
        """Go on from what was known."""
        bounds = self.bounds
        bounds.known = True
        bounds.at_us, bounds.lo_us, bounds.hi_us = kept.at_us, kept.lo_us, kept.hi_us
        bounds.drift, bounds.spread = kept.drift, kept.spread
        self.resolution = kept.resolution_us
        # More may have been told since: what is kept bounds what comes from below only.
        self.resume(kept.told_us, kept.told_id, kept.measured_us, kept.measured_lo_us)
        self.stepped_by, self.stepped_at = kept.stepped_us, kept.stepped_at_us
        self.steps = kept.steps
        self._open(kept.at_us)
        self._place(kept.at_us)

    def begin_at(self, kept: Kept, moved_us: int) -> None:
        """Begin to learn near what was known before the machine was started anew.

        Args:
            kept: what was known then.
            moved_us: how much the wall clock's reading at moment zero has changed since.
        """
        self._begin((kept.lo_us + kept.hi_us) // 2 + moved_us, kept.at_us - moved_us)
        self.resolution = kept.resolution_us
        self.steps, self.stepped_by = kept.steps, kept.stepped_us
        self.stepped_at = kept.stepped_at_us - moved_us

    # A clock that is known

    def _known(self, d: int, g: int, message_id: str) -> Placed | None:
        x = d - g
        if g >= self.due:
            if g - self._opened >= WINDOW_US and self.heard >= SLOW_RECEIPTS:
                self._close(g)
            else:
                self._place(g)
        if self.high < x <= self.high + BAND_US:
            self.bounds.at_least(x, g, self.resolution, self._rule)
            self._place(g)
        if not self.low <= x <= self.high:
            return self._apart(d, g, message_id)
        if self._doubted and not self.live(d, g, BAND_US):
            return self._by_order(d, g, message_id)
        self._run, self._doubted = None, False
        if self._suspect:
            # The clock was set meanwhile, and back: by a little less, perhaps.
            self._begin(x, g)
            return self._learn(d, g, message_id)
        return None

    # A clock that is being learnt

    def _learn(self, d: int, g: int, message_id: str) -> Placed | None:
        x, band = d - g, BAND_US + self.resolution
        if self._first == NEVER or band < x - self._first <= self._rule.backlog_us:
            # The offset is at least so great: what was before, was late.
            self._begin(x, g)
        if not -band <= x - self.center <= band:
            return self._apart(d, g, message_id)
        if g != self.told_g or not self.heard:
            self.heard += 1
        if x > self.best:
            self.best, self.best_at = x, g
        self.center = self.best
        self._run = None
        if enough(self.heard, g - self._opened, self.resolution):
            self._close(g)
            return None
        return self._by_order(d, g, message_id)

    def _close(self, g: int) -> None:
        super()._close(g)
        self._doubted = False

    def _place(self, g: int) -> None:
        super()._place(g)
        run = self._run
        if self.how != PROMPT and run is not None and run.side is Side.DELAYED:
            # Bounds that have grown prove nothing of a clock that may have been set back.
            self.low = max(self.low, min(run.best + BAND_US, self.center))

    def _begin(self, x: int, g: int) -> None:
        self._learn_anew(x, g)
        self._doubted = self._suspect = False
        self._first = x

    # Delayed, late, or set

    def _apart(self, d: int, g: int, message_id: str) -> Placed:
        """A report that is not prompt."""
        order = order_of(message_id, self.told_id)
        x, gap = d - g, d - self.told
        low_by = self.center - x
        side = side_of(low_by, self.resolution, self._rule)
        if self.how == PROMPT:
            self._run = None
        if order is Order.AFTER and gap < -BAND_US and self.measured != NEVER:
            return self._set(d, g, message_id, Run(Side.ABOVE, x, g))
        usual = self.in_row and low_by > 0 and self.usual(gap, order)
        among = order in (Order.BEFORE, Order.SAME)
        if not among and not (usual and low_by > self.hidden_us):
            run = self._went_on(side, x, g)
            if run.tells(g, self.resolution, self._rule):
                return self._set(d, g, message_id, run)
        if side is Side.DELAYED and self.bounds.known and not self._doubted:
            if order is Order.BEFORE:
                return self._place_earlier(d, g)
            if order is not Order.SAME or not self.in_row:
                how = DELAYED | IN_ROW if usual else DELAYED
                claim = self._place_delayed(d, g, message_id, how)
                return Placed(self.measured, claim, low_by, stepped=False)
        if not usual:
            self._wonder(side, among=among)
        placed = self._by_order(d, g, message_id)
        if not usual:
            self._doubted, self.due = True, NEVER
        return placed

    def _wonder(self, side: Side, *, among: bool) -> None:
        """What was not explained: it is in no row, unless it stands among others."""
        if not among:
            self.how &= ~IN_ROW
        if side is not Side.DELAYED:
            self._suspect = True

    def _went_on(self, side: Side, x: int, g: int) -> Run:
        """The run that the report goes on with, or begins."""
        run = self._run
        if run is None or not run.agrees(side, x, self.resolution):
            run = self._run = Run(side, x, g)
        else:
            run.take(x, g)
        if side is Side.DELAYED and not run.tells(g, self.resolution, self._rule):
            if not self.bounds.known and self._has_long_window(run, g):
                self._close(g)
            if g - run.opened >= WINDOW_US:
                self._run = Run(side, x, g)
        return run

    def _has_long_window(self, run: Run, g: int) -> bool:
        """Whether enough was received to learn from, if most of it was delayed."""
        return g - self._opened >= WINDOW_US and self.heard + run.count >= SLOW_RECEIPTS

    def _place_delayed(self, d: int, g: int, message_id: str, how: int) -> int:
        """Remember a delayed report; how far ``measured`` may be off.

        It was measured when the clock says, or after: the clock may have been set back by what
        usual steps hide, or else by anything up to the delay.
        """
        alone = d - self.center
        measured = alone if alone > self.measured else min(self.measured, g)
        claim = self.uncertainty + measured - alone
        back = g - measured + READ_US
        if how & IN_ROW:
            back = min(back, claim + self.hidden_us)
        self.how = how
        self.told, self.told_g, self.told_id = d, g, message_id
        self.measured = measured
        self.claimed = claim = max(claim, back)
        return claim

    def _place_earlier(self, d: int, g: int) -> Placed:
        """A delayed report that others have overtaken."""
        alone, latest = d - self.center, min(g, self.before()[1])
        measured = min(alone, latest)
        claim = max(self.uncertainty + alone - measured, latest - measured + READ_US)
        return Placed(measured, claim, g - alone, stepped=False)

    def _set(self, d: int, g: int, message_id: str, run: Run) -> Placed:
        """The clock was set: learn it anew, from the run that says so."""
        self.stepped_by, self.stepped_at = run.best - self.offset_us(g), g
        self.steps += 1
        self._begin(run.best, run.opened)
        self.best, self.best_at, self.heard = run.best, run.best_at, run.count
        self._run = None
        self.how &= ~IN_ROW
        placed = self._by_order(d, g, message_id, stepped=True)
        if enough(self.heard, g - self._opened, self.resolution):
            self._close(g)
        return placed

    def _by_order(self, d: int, g: int, message_id: str, *, stepped: bool = False) -> Placed:
        """Place a report between the one before and its receipt, and remember its bounds."""
        order = order_of(message_id, self.told_id)
        low_by = self.center - (d - g)
        alone = guess = min(d - self.center, g)
        if order is Order.SAME and self.how > DELAYED and self.bounds.known:
            # Told together with one that proved the clock.
            lo, hi = alone - self.uncertainty, min(g, alone + self.uncertainty)
        else:
            lo, hi = self.between(d, g, order)
            if order is Order.UNKNOWN and lo == NEVER and self._may_be_late(low_by):
                lo = min(self.before()[0], alone - self.uncertainty)
        if lo > NEVER or order in (Order.AFTER, Order.REBOOTED, Order.SAME):
            guess = max(guess, lo, self.measured)
        guess = min(guess, hi)
        claim = max(guess - lo, hi - guess) + READ_US if lo > NEVER else 0
        if low_by > DELAYED_US + self.resolution:
            self._doubted = True
        if order is not Order.BEFORE:
            self.remember((d, message_id, g), (guess, claim), lo, hi, order)
            if self._doubted:
                self.due = NEVER
        return Placed(guess, claim, max(0, low_by) if not stepped else 0, stepped)

    def _may_be_late(self, low_by: int) -> bool:
        """Whether it is late, if the clock wasn't set; and there is something to count from."""
        known = self.bounds.known and self.before()[0] > NEVER
        return known and 0 < low_by <= self._rule.backlog_us
