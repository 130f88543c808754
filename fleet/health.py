"""The health of one device, from the facts that its gateway reports.

Rules:

* The state machine is :data:`TABLE`: from a state, on a sign, to a state, after so many signs in
  a row. That number is the hysteresis of the steps; thresholds have bands of their own
  (:class:`Band`): a fault begins above ``enter`` and ends below ``leave``.
* Silence is measured on the gateway's clock alone (time of the report minus time last seen), so
  that the clocks of fleet and gateway may differ.
* Heard means a report: a device that has connected and said nothing yet is what it was before.
* Behind a gateway that does not report nothing is known: ``UNKNOWN`` is not ``LOST``.
* Facts and judgement are apart: a gateway tells what it saw, what that means is decided here.
"""

from __future__ import annotations

import math
from enum import Enum, IntEnum
from typing import NamedTuple

import msgspec

DAY_S = 86_400.0
RATE_WINDOW_S = 10.0
ERRORS_WINDOW_S = 60.0
MEASURE_GAP_S_MAX = 300.0
"""Behind a longer gap between two reports rates begin anew."""


class Health(IntEnum):
    """Numbers of ``wardgate.v1.Health``."""

    UNKNOWN = 1
    HEALTHY = 2
    DEGRADED = 3
    SILENT = 4
    LOST = 5


class Sign(Enum):
    """What one report says of a device."""

    OK = "ok"
    FAULTY = "faulty"
    QUIET = "quiet"
    GONE = "gone"
    CUT = "cut"
    """There is no report: the gateway is away."""


class Step(NamedTuple):
    """Where a sign leads, once it was seen ``after`` times in a row."""

    to: Health
    after: int


_U, _H, _D, _S, _L = Health.UNKNOWN, Health.HEALTHY, Health.DEGRADED, Health.SILENT, Health.LOST

TABLE: dict[tuple[Health, Sign], Step] = {
    (_U, Sign.OK): Step(_H, 1),
    (_U, Sign.FAULTY): Step(_D, 1),
    (_U, Sign.QUIET): Step(_S, 1),
    (_U, Sign.GONE): Step(_L, 1),
    (_U, Sign.CUT): Step(_U, 1),
    (_H, Sign.OK): Step(_H, 1),
    (_H, Sign.FAULTY): Step(_D, 2),
    (_H, Sign.QUIET): Step(_S, 1),
    (_H, Sign.GONE): Step(_L, 1),
    (_H, Sign.CUT): Step(_U, 1),
    (_D, Sign.OK): Step(_H, 3),
    (_D, Sign.FAULTY): Step(_D, 1),
    (_D, Sign.QUIET): Step(_S, 1),
    (_D, Sign.GONE): Step(_L, 1),
    (_D, Sign.CUT): Step(_U, 1),
    (_S, Sign.OK): Step(_H, 2),
    (_S, Sign.FAULTY): Step(_D, 2),
    (_S, Sign.QUIET): Step(_S, 1),
    (_S, Sign.GONE): Step(_L, 1),
    (_S, Sign.CUT): Step(_U, 1),
    (_L, Sign.OK): Step(_H, 2),
    (_L, Sign.FAULTY): Step(_D, 2),
    (_L, Sign.QUIET): Step(_S, 1),
    (_L, Sign.GONE): Step(_L, 1),
    (_L, Sign.CUT): Step(_U, 1),
}


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault begins with a measure beyond ``enter`` and ends with one short of ``leave``."""

    enter: float
    leave: float


class HealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[health]``."""

    silent_after_s: float = 30.0
    lost_after_s: float = 900.0
    gateway_dead_after_s: float = 10.0
    """Without a report for so long, what is behind the gateway is unknown."""
    battery_percent: Band = Band(15, 20)
    clock_offset_s: Band = Band(30, 20)
    errors_per_minute: Band = Band(6, 1)
    certificate_days: Band = Band(14, 15)


class Facts(msgspec.Struct, frozen=True):
    """What a gateway saw of a device; None where it can't tell."""

    driver: str = ""
    last_seen_us: int = 0
    connected: bool = False
    messages: int = 0
    marked_values: int = 0
    errors: dict[str, int] = {}
    clock_offset_us: int | None = None
    battery_percent: float | None = None
    firmware: str = ""
    certificate_end_us: int | None = None


class Rate:
    """Events per second of a counter that starts anew with its gateway; exponentially weighted."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._count: int | None = None
        self._weight = 0.0
        self.damped = 0.0
        """Grows from zero: one event in a first short interval is no high rate."""

    @property
    def per_second(self) -> float:
        """The best estimate, right from the second measurement on."""
        return self.damped / self._weight if self._weight else 0.0

    def update(self, count: int, elapsed_s: float) -> None:
        """Take the counter's present value, ``elapsed_s`` behind the last."""
        before, self._count = self._count, count
        if before is None or not 0 < elapsed_s <= MEASURE_GAP_S_MAX:
            return
        more = count - before if count >= before else count
        keep = math.exp(-elapsed_s / self._window_s)
        self._weight = self._weight * keep + (1 - keep)
        self.damped = self.damped * keep + more / elapsed_s * (1 - keep)


class DeviceHealth:
    """The state of one device; mutable, updated per report."""

    def __init__(self, health: Health = Health.UNKNOWN, since_us: int = 0) -> None:
        self.health = health
        self.since_us = since_us
        self.gateway = ""
        self.facts = Facts()
        self.faults: frozenset[str] = frozenset()
        self.rate = Rate(RATE_WINDOW_S)
        self._errors = Rate(ERRORS_WINDOW_S)
        self._pending = Step(health, 0)
        self._measured_us = 0

    def observe(  # what is known
        self,
        facts: Facts,
        sent_us: int,
        now_us: int,
        expected_firmware: str,
        config: HealthConfig,
        *,
        twin: bool = False,
    ) -> bool:
        """Take one report's facts; True when the state changed.

        Args:
            facts: what the gateway saw.
            sent_us: the gateway's time of the report.
            now_us: the fleet's time, for ``since_us``.
            expected_firmware: empty when none is prescribed.
            config: the thresholds.
            twin: its identity is live behind two gateways.
        """
        elapsed_s = (sent_us - self._measured_us) / 1e6 if self._measured_us else 0.0
        self._measured_us = sent_us
        if not facts.last_seen_us:  # connected to a gateway that has not heard it since its start
            facts = msgspec.structs.replace(facts, last_seen_us=self.facts.last_seen_us)
        self.facts = facts
        self.rate.update(facts.messages, elapsed_s)
        self._errors.update(sum(facts.errors.values()), elapsed_s)
        measures = _measure(facts, self._errors.damped * 60, sent_us)
        self.faults = _faults(self.faults, measures, config)
        if expected_firmware and facts.firmware and facts.firmware != expected_firmware:
            self.faults |= {"firmware"}
        if twin:
            self.faults |= {"clone"}
        if not facts.last_seen_us:
            return False  # never heard: connected is not yet heard, and nothing is lost
        silence_s = (sent_us - facts.last_seen_us) / 1e6
        if silence_s > config.lost_after_s:
            sign = Sign.GONE
        elif silence_s > config.silent_after_s:
            sign = Sign.QUIET
        else:
            sign = Sign.FAULTY if self.faults else Sign.OK
        return self._take(sign, now_us)

    def cut(self, now_us: int) -> bool:
        """The gateway does not report; True when the state changed."""
        return self._take(Sign.CUT, now_us)

    def _take(self, sign: Sign, now_us: int) -> bool:
        to, after = TABLE[self.health, sign]
        if to is self.health:
            self._pending = Step(to, 0)
            return False
        seen = self._pending.after + 1 if self._pending.to is to else 1
        self._pending = Step(to, seen)
        if seen < after:
            return False
        self.health, self.since_us, self._pending = to, now_us, Step(to, 0)
        return True


def _measure(facts: Facts, errors_per_minute: float, sent_us: int) -> dict[str, float | None]:
    """Each fault's measure, in its unit; None where nothing is known."""
    offset, end = facts.clock_offset_us, facts.certificate_end_us
    return {
        "battery": facts.battery_percent,
        "clock": None if offset is None else abs(offset) / 1e6,
        "errors": errors_per_minute,
        "certificate": None if end is None else (end - sent_us) / 1e6 / DAY_S,
    }


def _faults(
    before: frozenset[str], measures: dict[str, float | None], config: HealthConfig
) -> frozenset[str]:
    bands = {
        "battery": config.battery_percent,
        "clock": config.clock_offset_s,
        "errors": config.errors_per_minute,
        "certificate": config.certificate_days,
    }
    return frozenset(
        name
        for name, band in bands.items()
        if (measure := measures[name]) is not None and _beyond(measure, band, name in before)
    )


def _beyond(measure: float, band: Band, already: bool) -> bool:
    limit = band.leave if already else band.enter
    rising = band.enter >= band.leave
    return measure > limit if rising else measure < limit
