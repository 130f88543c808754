"""How coarse a destination's generalised records are.

Rules:

1. ``time = "shift"``: every time of a device is moved by the same secret number of whole days, so
   that order, durations and the time of day stay. ``hour``, ``day``, ``year``: times are cut
   down, in UTC; what follows from a cut time (a clock's offset) goes with it.
2. ``time = "year"`` is the default: 45 CFR 164.514(b)(2)(i)(C) takes every element of a date but
   the year for an identifier. The others are for a recipient with whom more is agreed.
3. Ages over 89 become 90 (the same rule).
4. A place is dropped, or with ``place = "ward"`` made the ward: rule (B) takes every subdivision
   smaller than a state for an identifier, hence ``none`` is the default.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec

from security.pseudonyms import Pseudonyms

AGE_MAX = 89
AGE_ABOVE = 90.0
"""What every higher age becomes, in years."""
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
SHIFTS_CACHED_MAX = 65536
"""Devices whose shift is remembered; beyond it the cache starts anew."""

_CYCLE_US = 146_097 * DAY_US
"""400 years of the Gregorian calendar, after which it repeats."""
_YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_YEAR_2000_US = int(_YEAR_2000.timestamp()) * 1_000_000

Move = Callable[[int], int]
"""A time in microseconds -> the one that leaves; 0 (no time) stays."""


class GeneraliseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[destinations.generalise]``."""

    time: Literal["shift", "hour", "day", "year"] = "year"
    shift_days_max: Annotated[int, msgspec.Meta(ge=7, le=3650)] = 365
    """With ``shift``: at most so many days, either way."""
    place: Literal["none", "ward"] = "none"


class Coarse:
    """One destination's rules; times by device."""

    def __init__(self, config: GeneraliseConfig, pseudonyms: Pseudonyms) -> None:
        self.keeps_ward = config.place == "ward"
        self.keeps_offset = config.time == "shift"
        """Whether a device's clock offset says no more than the times beside it."""
        self._pseudonyms = pseudonyms
        self._days_max = config.shift_days_max
        self._cut: Move | None = {"shift": None, "hour": _hour, "day": _day, "year": Years()}[
            config.time
        ]
        self._shifts: dict[str, Move] = {}

    def of(self, device_id: str) -> Move:
        """What is done to the times of a device; of none, to those of the gateway itself."""
        if self._cut is not None:
            return self._cut
        known = self._shifts.get(device_id)
        if known is None:
            if len(self._shifts) >= SHIFTS_CACHED_MAX:
                self._shifts.clear()
            by_us = self._pseudonyms.days(device_id, self._days_max) * DAY_US
            known = self._shifts[device_id] = lambda time_us: time_us and time_us + by_us
        return known


def _hour(time_us: int) -> int:
    return time_us - time_us % HOUR_US


def _day(time_us: int) -> int:
    return time_us - time_us % DAY_US


class Years:
    """Cuts to the year; remembers the year of the last time, since most times are of this year."""

    def __init__(self) -> None:
        self._from_us = self._to_us = 0

    def __call__(self, time_us: int) -> int:
        """The beginning of the year of a time, in UTC."""
        if not self._from_us <= time_us < self._to_us:
            if not time_us:
                return 0
            cycles, rest = divmod(time_us - _YEAR_2000_US, _CYCLE_US)
            year = (_YEAR_2000 + timedelta(microseconds=rest)).year
            base_us = cycles * _CYCLE_US
            self._from_us, self._to_us = (
                base_us + int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
                for each in (year, year + 1)
            )
        return self._from_us
