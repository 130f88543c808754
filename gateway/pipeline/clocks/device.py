"""When a device's reports were measured, by what is known of its clock.

A report comes with the device's time ``d`` and the moment of receipt ``g``; both in microseconds.
Between lies delivery, of unknown length, never negative. So ``x = d - g`` is at most the clock's
offset, and the greatest ``x`` of many is the nearest to it: the clock filter of NTP (RFC 5905, 10)
with one way only. What bounds the offset from above can't be measured with one way; it is

- *Assumption 1*: of a window's reports the quickest took ``delay_floor_us`` at most. A delay that
  all have in common is not seen. A window is WINDOW_REPORTS, or SLOW_REPORTS over WINDOW_US.

A clock shows time cut off to its resolution, which is the coarsest of :data:`RESOLUTIONS` that
divides everything it showed.

A report is *prompt* when its ``x`` lies no more than ``BAND_US`` below the bounds. Otherwise either
it is late, or the clock was set. Told apart by:

- ``x`` above the bounds: set forward, once two in a row agree (one alone is a slip).
- Numbered later and yet of an earlier device time: set back.
- The device's time went on by one of its usual steps: late. (*Assumption 2*: no clock is set back
  by just as long as its device was silent.)
- Else what stays so: reports that are equally low were not late, unless prompt ones come between.
  Up to ``DELAYED_US`` that takes a window, beyond it ``forget_us``. Lower than ``backlog_us``
  nothing is late.

While that is open, what is claimed rests on order alone
(:mod:`gateway.pipeline.clocks.succession`). *Assumption 3*: a step doesn't hide behind a delay of
its own size. A step smaller than ``BAND_US`` and what the clock cuts off is followed with the next
window and not called one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.pipeline.clocks.bounds import Bounds, Rule, Window
from gateway.pipeline.clocks.succession import NEVER, Order, Succession, order_of

RESOLUTIONS: Final = (60_000_000, 1_000_000, 100_000, 10_000, 1_000, 1)
"""Of clocks, in microseconds: minutes, seconds, and decimal parts."""
BAND_US: Final = 50_000
"""The jitter of delivery on a quiet network, and what a hospital wants to know of."""
DELAYED_US: Final = 2_000_000
WINDOW_US: Final = 16_000_000
"""At 200 ppm a clock moves 3 ms in it."""
WINDOW_US_MAX: Final = 128_000_000
GROWN_US: Final = 3_000
"""A clock whose drift is known is looked at the less often."""
WINDOW_REPORTS: Final = 8
"""As many as NTP's clock filter."""
READ_US: Final = 10
"""Clocks are read one after the other."""
SLOW_REPORTS: Final = 4
"""Enough of a device that reports seldom."""


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


class Kept(NamedTuple):
    """What survives a restart, by moments."""

    at_us: int
    lo_us: int
    hi_us: int
    drift: float
    spread: float
    resolution_us: int
    told_us: int
    told_id: str
    measured_us: int
    measured_lo_us: int
    stepped_us: int
    stepped_at_us: int
    steps: int


class _Run:
    """Reports in a row that contradict the bounds alike."""

    __slots__ = ("best", "best_at", "count", "first", "heard", "opened")

    def __init__(self, x: int, g: int, heard: int) -> None:
        self.first = self.best = x
        self.opened = self.best_at = g
        self.count = 1
        self.heard = heard


class DeviceClock(Succession):
    """One device.

    What a prompt report needs is done by ``Clockwork.look``, thousands of times a second: it reads
    the attributes up to ``uncertainty``, and writes ``best`` to ``heard`` and the public ones of
    Succession.
    """

    __slots__ = (
        "_chain",
        "_doubted",
        "_first",
        "_opened",
        "_run",
        "_suspect",
        "best",
        "best_at",
        "bounds",
        "center",
        "due",
        "heard",
        "high",
        "low",
        "stepped_at",
        "stepped_by",
        "steps",
        "uncertainty",
    )

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule, RESOLUTIONS[0])
        self.low, self.high, self.due = 0, NEVER, NEVER
        """Prompt is ``low <= x <= high`` before ``due``: nothing before the first window."""
        self.center = self.uncertainty = 0
        self.best, self.best_at, self.heard = NEVER, 0, 0
        """Of this window: the greatest ``x``, when, and how many prompt reports."""
        self.bounds = Bounds(rule.drift_max)
        self.stepped_by, self.stepped_at, self.steps = 0, 0, 0
        """When the clock was set, how far, and how often."""
        self._opened = 0
        self._first = NEVER
        """The ``x`` that learning began with."""
        self._run: _Run | None = None
        self._chain = False
        """Each report since the last prompt one followed by a usual step."""
        self._doubted = False
        """A report was late or showed a step: one that looks prompt must prove that it is."""
        self._suspect = False
        """What it was remained unexplained: then the clock is learnt anew."""

    # What the pipeline calls

    def follow(self, rule: Rule) -> None:
        """Go on under a changed rule, from the next window on."""
        self._rule = rule

    def take(self, d: int, g: int, message_id: str) -> Placed | None:
        """Take a report that is not prompt by the present bounds, or not surely.

        Returns:
            When it was measured; None: it is prompt by bounds that are new now.
        """
        while d % self.resolution:
            self.resolution = RESOLUTIONS[RESOLUTIONS.index(self.resolution) + 1]
            if self.bounds.known:
                self._place(g)
        return self._known(d, g, message_id) if self.bounds.known else self._learn(d, g, message_id)

    def offset_us(self, g: int) -> int:
        """The best estimate at a moment: device clock minus moment."""
        if not self.bounds.known:
            return self.center
        lo, hi = self.bounds.at(g)
        return round((lo + hi) / 2)

    def offset_uncertainty_us(self, g: int) -> int:
        """How far that may be off; 0 before it is known."""
        if not self.bounds.known:
            return 0
        lo, hi = self.bounds.at(g)
        return max(1, round((hi - lo) / 2))

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
            if g - self._opened >= WINDOW_US and self.heard >= SLOW_REPORTS:
                self._close(g)
            else:
                self._place(g)
        if self.high < x <= self.high + BAND_US:
            self.bounds.at_least(x, g, self.resolution, self._rule)
            self._place(g)
        if not self.low <= x <= self.high:
            return self._apart(d, g, message_id)
        if self._doubted and not self.live(d, g, BAND_US):
            return self._by_order(d, g, message_id, stepped=False)
        self._run, self._doubted = None, False
        if self._suspect:
            # The clock was set meanwhile, and back: by a little less, perhaps.
            self._begin(x, g)
            return self._learn(d, g, message_id)
        return None

    def _place(self, g: int) -> None:
        """Say what is prompt from now on, for the length of a window or longer."""
        bounds, resolution = self.bounds, self.resolution
        lo, hi = bounds.at(g)
        rate = bounds.spread + abs(bounds.drift)
        length = min(max(WINDOW_US, int(GROWN_US / rate)), WINDOW_US_MAX)
        ahead = bounds.drift * length
        grown = rate * length
        self.center = round((lo + hi - resolution + ahead) / 2)
        self.uncertainty = int((hi - lo + resolution) / 2 + grown) + READ_US
        self.low = int(lo - grown) - resolution - BAND_US
        self.high = int(hi + grown) + 1
        self.due = g + length

    # A clock that is being learnt

    def _learn(self, d: int, g: int, message_id: str) -> Placed | None:
        x, band = d - g, BAND_US + self.resolution
        if self._first == NEVER or band < x - self._first <= self._rule.backlog_us:
            # The offset is at least so great: what was before, was late.
            self._begin(x, g)
        if not -band <= x - self.center <= band:
            self._open(g)
            return self._apart(d, g, message_id)
        self.heard += 1
        if x > self.best:
            self.best, self.best_at = x, g
        self.center = self.best
        self._run = None
        if self._has_window(g):
            self._close(g)
            return None
        return self._by_order(d, g, message_id, stepped=False)

    def _begin(self, x: int, g: int) -> None:
        self.bounds.forget(self._rule.drift_max)
        self.low, self.high, self.due = 0, NEVER, NEVER
        self._doubted = self._suspect = False
        self.center = self._first = x
        self._open(g)

    def _open(self, g: int) -> None:
        self.best, self.best_at, self.heard, self._opened = NEVER, g, 0, g

    def _has_window(self, g: int) -> bool:
        return self._enough(self.heard, g - self._opened)

    def _enough(self, reports: int, span: int) -> bool:
        """Whether so many reports, equally late within the band, were not late at all."""
        if span < self._proof_us():
            return False
        return reports >= (SLOW_REPORTS if span >= WINDOW_US else WINDOW_REPORTS)

    def _proof_us(self) -> int:
        """After so long a backlog has left the band, if it comes a quarter faster than life."""
        return 4 * (BAND_US + self.resolution)

    def _close(self, g: int) -> None:
        """Take what the window says, and open the next."""
        window = Window(self._opened, self.best, self.best_at)
        self.bounds.take(window, g, self.resolution, self._rule)
        self.turn()
        self._doubted = False
        self._open(g)
        self._place(g)

    # Late, or set

    def _apart(self, d: int, g: int, message_id: str) -> Placed:
        """A report that is not prompt."""
        order = order_of(message_id, self.told_id)
        x, gap = d - g, d - self.told
        if (self.prompt or self._chain) and x < self.center and self.usual(gap, order):
            self._chain, self._run = True, None
            return self._by_order(d, g, message_id, stepped=False)
        self._chain = False
        if order is Order.AFTER and gap < -BAND_US and self.measured != NEVER:
            return self._set(d, g, message_id)
        if order not in (Order.BEFORE, Order.SAME) and self._agree(x, g) and self._believed(x, g):
            return self._set(d, g, message_id)
        if not 0 <= self.center - x <= DELAYED_US + self.resolution:
            self._suspect = True
        placed = self._by_order(d, g, message_id, stepped=False)
        self._doubted, self.due = True, NEVER
        return placed

    def _agree(self, x: int, g: int) -> bool:
        """Whether the report agrees with the run; if not, a run begins with it."""
        run, band = self._run, BAND_US + self.resolution
        if run is None or run.heard != self.heard or not -band <= x - run.first <= band:
            self._run = _Run(x, g, self.heard)
            return False
        run.count += 1
        if x > run.best:
            run.best, run.best_at = x, g
        return True

    def _believed(self, x: int, g: int) -> bool:
        """Whether the run is long enough to say that the clock was set."""
        run, rule, low_by = self._run, self._rule, self.center - x
        if run is None:
            return False
        span = g - run.opened
        if low_by < 0 or low_by > rule.backlog_us:
            return run.count >= 2 and span >= self._proof_us()
        if low_by <= DELAYED_US + self.resolution:
            return self._enough(run.count, span)
        return self._enough(run.count, span) and span >= rule.forget_us

    def _set(self, d: int, g: int, message_id: str) -> Placed:
        """The clock was set: learn it anew, from the run that says so."""
        x, run = d - g, self._run
        self.stepped_by, self.stepped_at = x - self.offset_us(g), g
        self.steps += 1
        self._begin(x, g)
        if run is not None and abs(run.best - x) <= BAND_US + self.resolution:
            self._first, self._opened, self.heard = run.first, run.opened, run.count
            self.center = self.best = run.best
            self.best_at = run.best_at
        else:
            self.best, self.heard = x, 1
        self._run = None
        placed = self._by_order(d, g, message_id, stepped=True)
        if self._has_window(g):
            self._close(g)
        return placed

    def _by_order(self, d: int, g: int, message_id: str, *, stepped: bool) -> Placed:
        """Place a report between the one before and its receipt, and remember its bounds."""
        order = order_of(message_id, self.told_id)
        low_by = self.center - (d - g)
        alone = guess = min(d - self.center, g)
        if order is Order.SAME and self.prompt and self.bounds.known:
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
        delayed = self.bounds.known and not stepped and not self._doubted
        delayed = delayed and low_by > 0 and order is not Order.BEFORE
        if delayed and (not claim or claim > max(self.uncertainty, low_by)):
            guess = max(alone, min(self.measured, g))
            claim = max(self.uncertainty + guess - alone, g - guess) + READ_US
            lo, hi = guess - claim, g
        if order is not Order.BEFORE:
            self.remember((d, message_id, g), guess, lo, hi, order)
            if self._doubted:
                self.due = NEVER
        return Placed(guess, claim, max(0, low_by) if not stepped else 0, stepped)

    def _may_be_late(self, low_by: int) -> bool:
        """Whether it is late, if the clock wasn't set; and there is something to count from."""
        known = self.bounds.known and self.before()[0] > NEVER
        return known and 0 < low_by <= self._rule.backlog_us
