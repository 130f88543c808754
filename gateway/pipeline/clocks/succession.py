"""What order alone says of when a device's report was measured.

After the one before, and before it was received. And where the device's time went on by one of its
usual steps, by just that much later than the one before: its clock was not set in between, or by no
more than usual steps differ. None of this needs to know how far the clock is off.

How two messages stand to each other is told by their ids ``boot:n``. Without numbers the order of
arrival is no proof: a message may hold older values beside the present ones.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from gateway.pipeline.clocks.bounds import Rule

TOLERANCE_US: Final = 2_000
"""A device's interval is never quite the same."""
NUMBER_DIGITS_MAX: Final = 19
NEVER: Final = -(1 << 62)
EVER: Final = 1 << 62


BY_ORDER: Final = 0
"""How a report was placed: by order alone, so that its bounds need not lie evenly around it."""
DELAYED: Final = 2
"""By a clock that is known."""
IN_ROW: Final = 1
"""And it followed by a usual step, as all did since one that was prompt."""
PROMPT: Final = 5


class Order(Enum):
    """How a message stands to the one before."""

    UNKNOWN = "unknown"
    AFTER = "after"
    SAME = "same"
    BEFORE = "before"
    REBOOTED = "rebooted"
    """Of another start of the device."""


def order_of(message_id: str, before: str) -> Order:
    """Compare; ids that are no ``boot:n`` say only whether they are the same."""
    if not message_id or not before:
        return Order.UNKNOWN
    if message_id == before:
        return Order.SAME
    boot, _, number = message_id.rpartition(":")
    boot_before, _, number_before = before.rpartition(":")
    if not (boot and boot_before and _plain(number) and _plain(number_before)):
        return Order.UNKNOWN
    if boot != boot_before:
        return Order.REBOOTED
    n, n_before = int(number), int(number_before)
    if n == n_before:
        return Order.SAME
    return Order.AFTER if n > n_before else Order.BEFORE


def follows(message_id: str, before: str) -> bool:
    """Whether a message is plainly none from before, nor of another start of the device.

    It errs on the safe side: where it says no, :func:`order_of` has the word.
    """
    digits = message_id.rfind(":") + 1
    if not digits:
        return True
    if len(message_id) != len(before) or message_id <= before:
        return False
    return message_id[:digits] == before[:digits]


def _plain(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) <= NUMBER_DIGITS_MAX


class _Base(NamedTuple):
    """A report, by the device's time, with the bounds of when it was measured."""

    d: int
    lo: int
    hi: int
    slack: int


class Succession:
    """The report before, of one device, and its usual steps. Times as in ``DeviceClock``."""

    __slots__ = (
        "_base",
        "_gap_high",
        "_gap_low",
        "_last_hi",
        "_last_lo",
        "_rule",
        "claimed",
        "gap_max",
        "gap_min",
        "how",
        "measured",
        "resolution",
        "told",
        "told_g",
        "told_id",
        "usual_max",
        "usual_min",
    )

    def __init__(self, rule: Rule, resolution_us: int) -> None:
        self._rule = rule
        self.resolution = resolution_us
        self.told, self.told_g, self.told_id = 0, NEVER, ""
        """The device's time, the moment of receipt, and the message's id."""
        self.measured, self.claimed = NEVER, 0
        """As a moment, and its uncertainty."""
        self.how = BY_ORDER
        """It was placed: one of the above, or two together."""
        self.gap_min, self.gap_max = EVER, -1
        """The device's time between neighbours in this window."""
        self._gap_low, self._gap_high = EVER, -1
        """The same in the window before."""
        self.usual_min, self.usual_max = EVER, -1
        """What follows from both: a usual step."""
        self._last_lo, self._last_hi = NEVER, EVER
        """Its bounds where it was placed by order."""
        self._base: _Base | None = None
        """What a row of usual steps began with."""

    @property
    def in_row(self) -> bool:
        """Whether the one before was prompt, or in a row of usual steps since one that was."""
        return bool(self.how & IN_ROW)

    @property
    def by_order(self) -> bool:
        """Whether the one before was placed by order."""
        return self.how < DELAYED

    def before(self) -> tuple[int, int]:
        """Between which moments the report before was measured."""
        if self.by_order:
            return self._last_lo, self._last_hi
        return self.measured - self.claimed, self.measured + self.claimed

    def between(self, d: int, g: int, order: Order) -> tuple[int, int]:
        """Between which moments a report was measured; NEVER where nothing is known."""
        if self.measured == NEVER:
            return NEVER, g
        before_lo, before_hi = self.before()
        if order is Order.BEFORE:
            return NEVER, min(g, before_hi)
        if before_lo > NEVER and self.usual(d - self.told, order):
            base = self._row()
            since = d - base.d
            slack = base.slack + int(self._rule.drift_max * since) + 1
            lo, hi = base.lo + since - slack, min(g, base.hi + since + slack)
            if lo <= hi:
                return lo, hi
            # It was set after all.
        return NEVER if order is Order.UNKNOWN else min(before_lo, g), g

    def widen(self, gap: int) -> None:
        """A prompt report came at an interval that this window has not seen."""
        self.gap_min, self.gap_max = min(self.gap_min, gap), max(self.gap_max, gap)
        self._settle()

    def usual(self, gap: int, order: Order) -> bool:
        """Whether a report follows the one before as this device's reports do."""
        usual = self.usual_min <= gap <= self.usual_max
        return usual and order not in (Order.BEFORE, Order.REBOOTED)

    def live(self, d: int, g: int, band_us: int) -> bool:
        """Whether a report came as long after the one before as it was measured after it.

        What is delivered late comes faster, and passes by where prompt reports would be.
        """
        measured, received = d - self.told, g - self.told_g
        return 0 < measured <= 2 * received and received - measured <= band_us + self.resolution

    def remember(
        self, report: tuple[int, str, int], placed: tuple[int, int], lo: int, hi: int, order: Order
    ) -> None:
        """A report that was placed by order: device time, id and receipt; when, and its bounds."""
        d, message_id, g = report
        if self.before()[0] > NEVER and self.usual(d - self.told, order):
            base = self._row()
            self._base = base._replace(hi=min(base.hi, g - (d - base.d) + 2 * base.slack))
        else:
            self._base = None
        self._last_lo, self._last_hi, self.how = lo, hi, BY_ORDER | self.how & IN_ROW
        self.told, self.told_g, self.told_id = d, g, message_id
        self.measured, self.claimed = placed

    def resume(self, told: int, told_id: str, measured: int, measured_lo: int) -> None:
        """Go on after a restart. More may have been told since: it bounds from below only."""
        self.told, self.told_id, self.measured = told, told_id, measured
        self._last_lo, self._last_hi = measured_lo, EVER

    def turn(self) -> None:
        """A window ends: what was usual in it counts for one more."""
        if self.gap_max >= 0:
            self._gap_low, self._gap_high = self.gap_min, self.gap_max
            self.gap_min, self.gap_max = EVER, -1
            self._settle()

    @property
    def hidden_us(self) -> int:
        """What a row of usual steps may hide: what the clock cuts off, and a step between them."""
        return self.resolution + max(0, self.usual_max - self.usual_min)

    def _settle(self) -> None:
        self.usual_min = max(0, min(self.gap_min, self._gap_low) - TOLERANCE_US)
        self.usual_max = max(self.gap_max, self._gap_high) + TOLERANCE_US

    def _row(self) -> _Base:
        """What this row of usual steps began with: the report before, if it begins now.

        What a clock cuts off counts once for all of them, and so does a step that they may hide.
        """
        if self._base is not None and self.by_order:
            return self._base
        return _Base(self.told, *self.before(), self.hidden_us)
