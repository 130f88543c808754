"""When will it be empty: a robust estimate with its uncertainty, from what was left when.

Rules:

- The flow is the Theil-Sen slope (the median of all pairwise slopes) of the volume left over the
  last minutes: a hand at the bag, a drop missed or a value mistyped moves it little.
- Its uncertainty is the spread of these slopes (their 16th and 84th percentile, as one standard
  deviation either way), and at least ``RELATIVE_MIN``: drops are not all of one size.
- Until ``SAMPLES_MIN`` values over ``SPAN_S_MIN`` seconds are there, the flow is what the device
  says, with ``RELATIVE_TOLD``; without that there is no forecast.
- What changes the story begins it anew: another bag (:meth:`Track.add` says so), another flow, a
  clock that was set.

Pure: times are arguments, in seconds of any clock.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Final, NamedTuple

SAMPLES_MAX: Final = 16
"""120 slopes; at a report every ten seconds two and a half minutes."""
SAMPLES_MIN: Final = 4
SPAN_S_MIN: Final = 20.0
WINDOW_S: Final = 900.0
RELATIVE_MIN: Final = 0.03
RELATIVE_TOLD: Final = 0.2
JUMP_ML: Final = 20.0
JUMP_SHARE: Final = 0.05
"""More left than before by both is another bag; less by both, and by more than ``FALLS`` times what
flows meanwhile, is a hand at the bag, or fluid that went elsewhere. Two values running have to say
so: one alone is left out."""
FALLS: Final = 3.0
CLOCK_S_MAX: Final = 60.0
"""A device's time that moved otherwise than the gateway's by more: its clock was set."""
FLOW_SHARE: Final = 0.2
"""A flow that is off by more than this, twice running, is another flow."""
FLOW_ML_H_MIN: Final = 0.1
"""Below it nothing flows, and nothing ends."""
LEFT_S_MAX: Final = 30 * 86_400.0
_SIGMA_LOW, _SIGMA_HIGH = 0.16, 0.84


class Sample(NamedTuple):
    """What was left, and when."""

    at_s: float
    left_ml: float
    flow_ml_h: float | None = None
    """As the device says."""


class Forecast(NamedTuple):
    """Seconds from the last sample until it is empty."""

    left_s: float
    early_s: float
    """It may be as early as this, by one standard deviation …"""
    late_s: float
    """… or as late as this."""
    flow_ml_h: float


class Track:
    """The volume left over time, of one device."""

    __slots__ = ("_flows", "_jumped", "samples", "skew_s")

    def __init__(self, samples: tuple[Sample, ...] = ()) -> None:
        self.samples: deque[Sample] = deque(samples, SAMPLES_MAX)
        self.skew_s: float | None = None
        """The device's clock less the gateway's, at the last sample."""
        self._jumped: Sample | None = None
        """One value that does not follow from those before it."""
        self._flows: deque[Sample] = deque(maxlen=2)
        """The last, as long as their flow is not the track's."""

    def add(self, sample: Sample, gateway_s: float) -> bool:
        """Take what a report says; True when it is another bag than before.

        Args:
            sample: by the device's clock, if it has one.
            gateway_s: when it came, by the gateway's.
        """
        skew_s = sample.at_s - gateway_s
        if self.skew_s is not None and abs(skew_s - self.skew_s) > CLOCK_S_MAX:
            self._begin()
        self.skew_s = skew_s
        last = self.samples[-1] if self.samples else None
        if last is not None and sample.at_s <= last.at_s:
            return False
        if last is not None and (jump := self._jump(last, sample)):
            first, self._jumped = self._jumped, sample
            if first is None or self._jump(first, sample):
                return False
            self._begin(first, sample)
            return jump > 0
        self._jumped = None
        if self._is_other_flow(sample):
            self._flows.append(sample)
            if len(self._flows) == self._flows.maxlen:
                self._begin(*self._flows)
                return False
        else:
            self._flows.clear()
        self.samples.append(sample)
        while self.samples[0].at_s < sample.at_s - WINDOW_S:
            self.samples.popleft()
        return False

    def begin(self) -> None:
        """Another bag, another programme: what was is over."""
        self._begin()

    def _begin(self, *samples: Sample) -> None:
        self.samples.clear()
        self.samples.extend(samples)
        self._jumped = None
        self._flows.clear()

    @staticmethod
    def _jump(last: Sample, sample: Sample) -> float:
        """By how much it jumped, in mL; 0: it follows."""
        change = sample.left_ml - last.left_ml
        least = max(JUMP_ML, JUMP_SHARE * last.left_ml)
        flow = max(last.flow_ml_h or 0.0, sample.flow_ml_h or 0.0)
        fallen = FALLS * flow * (sample.at_s - last.at_s) / 3600
        fell = flow > 0 and -change > least + fallen  # without a flow nobody knows how far it may
        return change if change > least or fell else 0.0

    def _is_other_flow(self, sample: Sample) -> bool:
        flow = sample.flow_ml_h
        known = [each.flow_ml_h for each in self.samples if each.flow_ml_h is not None]
        if flow is None or not known:
            return False
        usual = median(known)
        return abs(flow - usual) > FLOW_SHARE * max(usual, flow)

    def forecast(self) -> Forecast | None:
        """When it will be empty; None while nothing flows or nobody knows how much."""
        if not self.samples:
            return None
        last = self.samples[-1]
        if last.left_ml <= 0:
            return Forecast(0.0, 0.0, 0.0, 0.0)
        if last.flow_ml_h is not None and last.flow_ml_h < FLOW_ML_H_MIN:
            return None
        flows = self._flows_seen() or self._flow_told(last)
        if flows is None or flows[1] < FLOW_ML_H_MIN:
            return None
        low, usual, high = flows
        early, left, late = (
            min(last.left_ml / max(flow, FLOW_ML_H_MIN) * 3600, LEFT_S_MAX)
            for flow in (high, usual, low)
        )
        return Forecast(left, early, late, usual)

    def _flows_seen(self) -> tuple[float, float, float] | None:
        """Low, usual and high flow in mL/h, by what was left; None while that is too little."""
        samples = self.samples
        enough = len(samples) >= SAMPLES_MIN
        if not enough or samples[-1].at_s - samples[0].at_s < SPAN_S_MIN:
            return None
        slopes = sorted(
            (one.left_ml - other.left_ml) / (other.at_s - one.at_s) * 3600
            for at, one in enumerate(samples)
            for other in list(samples)[at + 1 :]
        )
        usual = median(slopes)
        low = slopes[int(_SIGMA_LOW * (len(slopes) - 1))]
        high = slopes[int(_SIGMA_HIGH * (len(slopes) - 1) + 0.5)]
        least = RELATIVE_MIN * usual
        return min(low, usual - least), usual, max(high, usual + least)

    @staticmethod
    def _flow_told(last: Sample) -> tuple[float, float, float] | None:
        flow = last.flow_ml_h
        if flow is None:
            return None
        return flow * (1 - RELATIVE_TOLD), flow, flow * (1 + RELATIVE_TOLD)
