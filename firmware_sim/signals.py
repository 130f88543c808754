"""Signals of simulated patients and infusions: seeded, within stated ranges.

Vital signs wander: each step pulls a value back to its resting place and adds noise, scaled so
that a signal moves as slowly as its organ does, whatever the sampling interval. They never
leave ``low`` to ``high``, the range in which an adult on a ward is found; only an ``excursion``
fault does that.

The infusion is a gravity drip: single drops fall, at a rate that falls as the bag empties
(its head of fluid sinks) and that a roller clamp scales; the monitor weighs the bag and counts.
"""

from __future__ import annotations

import math
from random import Random
from typing import Literal, NamedTuple

SALINE_G_PER_ML = 1.005
EMPTY_BAG_G = 25.0
NEARLY_EMPTY_ML = 50.0
STOPPED_AFTER_S = 20.0
"""Longest wait for a drop before the monitor calls the infusion stopped."""
RATE_ADVISORY = 0.15
RATE_URGENT = 0.25
HEAD_LOSS = 0.10
"""Share of the flow that is gone when the bag is nearly empty."""
RATE_WINDOW_S = 15.0
"""How long a monitor averages drops before it shows a rate."""
BATTERY_PERCENT_PER_H = 4.0
BATTERY_LOW_PERCENT = 15.0


class Vital(NamedTuple):
    """One vital sign: where it rests, how far and how fast it wanders."""

    low: float
    high: float
    rest: float
    spread: float
    """Standard deviation between patients, and of one patient's wandering."""
    minutes: float
    """Time over which a deviation dies away."""
    digits: int


VITALS = {
    "hr": Vital(45, 130, 74, 9, 3, 0),
    "pr": Vital(45, 130, 74, 9, 3, 0),
    "spo2": Vital(90, 100, 97, 1.2, 5, 0),
    "rr": Vital(8, 30, 15, 2.5, 2, 0),
    "abp_sys": Vital(90, 180, 122, 10, 4, 0),
    "abp_dia": Vital(45, 105, 74, 7, 4, 0),
    "abp_mean": Vital(60, 130, 90, 8, 4, 0),
    "nibp_sys": Vital(90, 180, 122, 10, 15, 0),
    "nibp_dia": Vital(45, 105, 74, 7, 15, 0),
    "nibp_mean": Vital(60, 130, 90, 8, 15, 0),
    "temp": Vital(35.5, 39.0, 36.9, 0.3, 60, 1),
    "etco2": Vital(30, 50, 38, 2, 2, 0),
    "pi": Vital(0.3, 10, 2.4, 0.9, 5, 2),
}
"""In the units of the bedside payload (``drivers/bedside/README.md``)."""


class Patient:
    """The vital signs of one patient.

    Args:
        fields: which of ``VITALS`` to show.
        random: this patient's own, seeded.

    Raises:
        KeyError: a field that is no vital sign.
    """

    def __init__(self, fields: tuple[str, ...], random: Random) -> None:
        self._random = random
        self._vitals = {field: VITALS[field] for field in fields}
        self._rest = {
            field: _within(vital, random.gauss(vital.rest, vital.spread / 2))
            for field, vital in self._vitals.items()
        }
        self._now = dict(self._rest)

    def step(self, seconds: float) -> dict[str, float]:
        """Let time pass, and read the monitor."""
        for field, vital in self._vitals.items():
            keep = math.exp(-seconds / (vital.minutes * 60))
            rest = self._rest[field]
            noise = self._random.gauss(0, vital.spread / 2 * math.sqrt(1 - keep * keep))
            self._now[field] = _within(vital, rest + (self._now[field] - rest) * keep + noise)
        return {
            field: _within(vital, round(self._now[field], vital.digits))
            for field, vital in self._vitals.items()
        }


def _within(vital: Vital, value: float) -> float:
    return min(max(value, vital.low), vital.high)


class DripReading(NamedTuple):
    """What the drip monitor shows."""

    drops_min: float
    drops: int
    rate_ml_h: float
    infused_ml: float
    remaining_ml: float
    weight_g: float
    elapsed_s: float
    finish_s: float | None
    """Seconds from now until the bag is empty; None while nothing flows."""
    clamp: Literal["open", "partial", "closed"]
    battery: float
    alarms: tuple[str, ...]
    bag: int
    """Counts the bags since the monitor was switched on."""
    tare_g: float


class Drip:
    """One bag on one drip set.

    Args:
        volume_ml: in the bag at the start.
        rate_ml_h: prescribed; the nurse sets the clamp within 3 % of it.
        factor: drops per millilitre of the drip set.
        random: this infusion's own, seeded.
    """

    def __init__(self, volume_ml: float, rate_ml_h: float, factor: int, random: Random) -> None:
        self.volume_ml = volume_ml
        self.prescribed_ml_h = rate_ml_h
        self.factor = factor
        self.faults: set[str] = set()
        """Alarm words that something other than the flow causes: ``bubble``, ``bag_removed``, …"""
        self.clamp = 1.0
        """Share of the flow that the clamp lets through; above 1 it was opened too far."""
        self._random = random
        self._set = random.uniform(0.97, 1.03)
        self._owed = 0.0
        self._drops = 0
        self._elapsed = 0.0
        self._last_drop = 0.0
        self._rate = rate_ml_h * self._set
        self._battery = random.uniform(60, 100)
        self._bag = 1

    def hang(self, volume_ml: float | None = None) -> None:
        """The nurse hangs a full bag, the same size or another: all is counted anew."""
        self.volume_ml = volume_ml or self.volume_ml
        self._bag += 1
        self._drops = 0
        self._owed = self._elapsed = self._last_drop = 0.0

    def step(self, seconds: float) -> DripReading:
        """Let drops fall for some time, and read the monitor."""
        self._elapsed += seconds
        self._battery = max(0.0, self._battery - BATTERY_PERCENT_PER_H * seconds / 3600)
        flow = self._flow_ml_h()
        self._owed += flow / 3600 * seconds * self.factor * self._random.uniform(0.95, 1.05)
        fallen = min(int(self._owed), self._left())
        self._owed = self._owed - int(self._owed) if flow else 0.0
        self._drops += fallen
        if fallen:
            self._last_drop = self._elapsed
        keep = math.exp(-seconds / RATE_WINDOW_S)
        self._rate = self._rate * keep + flow * (1 - keep)
        return self._read()

    def _left(self) -> int:
        return int(self.volume_ml * self.factor) - self._drops

    def _flow_ml_h(self) -> float:
        if self._left() <= 0 or "bag_removed" in self.faults:
            return 0.0
        head = 1 - HEAD_LOSS * self._drops / (self.volume_ml * self.factor)
        return self.prescribed_ml_h * self._set * head * self.clamp

    def _read(self) -> DripReading:
        infused = self._drops / self.factor
        remaining = max(0.0, self.volume_ml - infused)
        rate = round(self._rate, 1)
        on_the_hook = 0.0 if "bag_removed" in self.faults else remaining * SALINE_G_PER_ML
        empty_bag = 0.0 if "bag_removed" in self.faults else EMPTY_BAG_G
        return DripReading(
            drops_min=round(rate * self.factor / 60, 1),
            drops=self._drops,
            rate_ml_h=rate,
            infused_ml=round(infused, 2),
            remaining_ml=round(remaining, 2),
            weight_g=round(on_the_hook + empty_bag, 1),
            elapsed_s=round(self._elapsed, 1),
            finish_s=remaining / rate * 3600 if rate > 0 else None,
            clamp="closed" if self.clamp <= 0 else "partial" if self.clamp < 1 else "open",
            battery=round(self._battery, 1),
            alarms=self._alarms(remaining, rate),
            bag=self._bag,
            tare_g=EMPTY_BAG_G,
        )

    def _alarms(self, remaining: float, rate: float) -> tuple[str, ...]:
        shown = sorted(self.faults)
        if "bag_removed" in self.faults:
            pass  # nothing hangs there that could run out or drip
        elif self._left() <= 0:
            shown.append("finished")
        elif self._elapsed - self._last_drop > STOPPED_AFTER_S:
            shown.append("stopped")
        else:
            off = rate / self.prescribed_ml_h - 1
            if abs(off) > RATE_ADVISORY:
                word = "rate_high" if off > 0 else "rate_low"
                shown.append(f"{word}_urgent" if abs(off) > RATE_URGENT else word)
            if remaining < NEARLY_EMPTY_ML:
                shown.append("nearly_empty")
        if self._battery < BATTERY_LOW_PERCENT:
            shown.append("battery_low")
        return tuple(shown)
