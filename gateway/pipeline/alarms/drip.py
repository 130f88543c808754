"""What the rules see in a report of a gravity-drip monitor.

``drip_stopped``   nothing flows though a rate is prescribed and the bag is not empty;
``drip_finished``  the bag is empty;
``drip_low``       the bag is nearly empty;
``drip_below``     the rate is below the prescribed one: advisory, then urgent;
``drip_above``     above it; also any flow where none is prescribed;
``drip_battery``   the monitor's battery is low.

That it is off line is told by the silence of its reports, that the bag will soon be empty by
:mod:`gateway.infusion`; a bubble, a bag taken off and a sensor's fault only the monitor knows.

A clamp that was closed does not silence ``drip_stopped``: a clamp forgotten is the common case.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.domain.records import AlarmKind, AlarmSource
from gateway.domain.terms import (
    BATTERY,
    FLOW_RATE,
    PROGRAMMED_RATE,
    VOLUME_REMAINING,
)
from gateway.pipeline.alarms.rules import Readings, Sight
from gateway.pipeline.alarms.state import Cause, Held, Input, key_of
from gateway.pipeline.config import PRIORITIES, DripRule
from gateway.pipeline.plan import DripPlaces

CODE_STOPPED: Final = 3 << 16 | 0xF011
"""Private: the standard's low flow (196950) is a rate, not a standstill."""
CODE_ABOVE: Final = 3 << 16 | 0xF012
CODE_BELOW: Final = 196950
"""MDC_EVT_FLOW_LO."""
CODE_LOW: Final = 197334
"""MDC_EVT_VOL_INFUS_NEAR_COMP."""
CODE_FINISHED: Final = 197332
"""The infusion pump's "VTBI complete"."""

CODE_BATTERY: Final = 196802
"""MDC_EVT_BATT_LO."""

STOPPED, FINISHED, LOW, BELOW, ABOVE, BATTERY_LOW = (
    key_of(AlarmSource.GATEWAY, f"drip_{name}")
    for name in ("stopped", "finished", "low", "below", "above", "battery")
)
CONDITIONS: Final = frozenset(
    key.removeprefix("g:") for key in (STOPPED, FINISHED, LOW, BELOW, ABOVE, BATTERY_LOW)
)


class Infusion(NamedTuple):
    """A drip as a report shows it; None: not given, or not valid."""

    flow: float | None
    prescribed: float | None
    remaining: float | None
    volume: float | None
    battery: float | None = None


def infusion(places: DripPlaces, readings: Readings) -> Infusion:
    """Read the values; a rate that is not given follows from the drops."""
    flow = readings.valid(places.flow)
    if places.flow < 0:
        drops, factor = readings.valid(places.drops), readings.valid(places.factor)
        if drops is not None and factor:
            flow = drops * 60 / factor
    return Infusion(
        flow,
        readings.valid(places.prescribed),
        readings.valid(places.remaining),
        readings.valid(places.volume),
        readings.valid(places.battery),
    )


def calm(rule: DripRule, drip: Infusion) -> bool:
    """True when no condition can begin: the usual case, told quickly."""
    flow, prescribed, remaining = drip.flow, drip.prescribed, drip.remaining
    if flow is None or not prescribed or remaining is None:
        return False
    allowed = prescribed * rule.advisory_percent / 100
    return (
        prescribed - allowed <= flow <= prescribed + allowed
        and flow > rule.stopped_ml_per_h
        and remaining > _low_mark(rule, drip)
        and (drip.battery is None or drip.battery > rule.battery_percent)
    )


def sights(rule: DripRule, drip: Infusion, holds: Mapping[str, Held]) -> Iterator[Sight]:
    """Everything the rules see."""
    yield _finished(rule, drip)
    yield _low(rule, drip)
    yield _stopped(rule, drip)
    yield from _rate(rule, drip, holds)
    yield _battery(rule, drip)


def _low_mark(rule: DripRule, drip: Infusion) -> float:
    return max(rule.low_ml, rule.low_percent / 100 * (drip.volume or 0.0))


def _is_finished(rule: DripRule, drip: Infusion) -> bool:
    return drip.remaining is not None and drip.remaining <= rule.finished_ml


def _finished(rule: DripRule, drip: Infusion) -> Sight:
    cause = Cause(
        condition="drip_finished",
        code=CODE_FINISHED,
        kind=AlarmKind.PHYSIOLOGICAL,
        source=AlarmSource.GATEWAY,
        priority=PRIORITIES[rule.finished_priority],
        text="infusion finished",
        limit=rule.finished_ml,
        codes=(VOLUME_REMAINING,),
        values=(drip.remaining or 0.0,),
    )
    return _volume(FINISHED, drip, rule.finished_ml, rule.hysteresis_ml, cause)


def _low(rule: DripRule, drip: Infusion) -> Sight:
    mark = _low_mark(rule, drip)
    remaining = drip.remaining or 0.0
    cause = Cause(
        condition="drip_low",
        code=CODE_LOW,
        kind=AlarmKind.ADVISORY,
        source=AlarmSource.GATEWAY,
        priority=PRIORITIES[rule.low_priority],
        text=f"bag nearly empty: {remaining:g} mL left",
        limit=mark,
        codes=(VOLUME_REMAINING,),
        values=(remaining,),
    )
    return _volume(LOW, drip, mark, rule.hysteresis_ml, cause)


def _volume(key: str, drip: Infusion, mark: float, back: float, cause: Cause) -> Sight:
    if drip.remaining is None:
        return Sight(key, Input.UNKNOWN)
    if drip.remaining <= mark:
        return Sight(key, Input.CROSSED, cause)
    return Sight(key, Input.BETWEEN if drip.remaining <= mark + back else Input.INSIDE)


def _battery(rule: DripRule, drip: Infusion) -> Sight:
    percent = drip.battery
    if percent is None:
        return Sight(BATTERY_LOW, Input.UNKNOWN)
    if percent > rule.battery_percent:
        within = percent <= rule.battery_percent + rule.battery_hysteresis_percent
        return Sight(BATTERY_LOW, Input.BETWEEN if within else Input.INSIDE)
    cause = Cause(
        condition="drip_battery",
        code=CODE_BATTERY,
        kind=AlarmKind.TECHNICAL,
        source=AlarmSource.GATEWAY,
        priority=PRIORITIES[rule.battery_priority],
        text=f"battery of the drip monitor low: {percent:g} %",
        limit=rule.battery_percent,
        codes=(BATTERY,),
        values=(percent,),
    )
    return Sight(BATTERY_LOW, Input.CROSSED, cause)


def _stopped(rule: DripRule, drip: Infusion) -> Sight:
    if _is_finished(rule, drip) or drip.prescribed == 0:
        return Sight(STOPPED, Input.INSIDE)
    if drip.flow is None or drip.prescribed is None:
        return Sight(STOPPED, Input.UNKNOWN)
    if drip.flow > rule.stopped_ml_per_h:
        return Sight(STOPPED, Input.INSIDE)
    cause = Cause(
        condition="drip_stopped",
        code=CODE_STOPPED,
        kind=AlarmKind.PHYSIOLOGICAL,
        source=AlarmSource.GATEWAY,
        priority=PRIORITIES[rule.stopped_priority],
        text=f"infusion stopped: {drip.prescribed:g} mL/h prescribed",
        limit=rule.stopped_ml_per_h,
        codes=(FLOW_RATE, PROGRAMMED_RATE),
        values=(drip.flow, drip.prescribed),
        delay_s=rule.stopped_delay_s,
    )
    return Sight(STOPPED, Input.CROSSED, cause)


def _rate(rule: DripRule, drip: Infusion, holds: Mapping[str, Held]) -> Iterator[Sight]:
    flow, prescribed = drip.flow, drip.prescribed
    if flow is None or prescribed is None:
        yield Sight(BELOW, Input.UNKNOWN)
        yield Sight(ABOVE, Input.UNKNOWN)
        return
    if prescribed > 0:
        percent = (flow / prescribed - 1) * 100
    else:
        percent = math.inf if flow > rule.stopped_ml_per_h else 0.0
    yield _deviation(rule, drip, percent, holds.get(ABOVE), above=True)
    if _is_finished(rule, drip):
        yield Sight(BELOW, Input.INSIDE)
    elif flow <= rule.stopped_ml_per_h and prescribed > 0:
        yield Sight(BELOW, Input.UNKNOWN)  # it is drip_stopped's
    else:
        yield _deviation(rule, drip, -percent, holds.get(BELOW), above=False)


def _deviation(
    rule: DripRule, drip: Infusion, percent: float, held: Held | None, *, above: bool
) -> Sight:
    key = ABOVE if above else BELOW
    urgent = PRIORITIES[rule.above_priority if above else rule.below_priority]
    advisory = PRIORITIES[rule.advisory_priority]
    held_urgent = held is not None and held.cause.priority == urgent != advisory
    if percent > rule.urgent_percent or (
        held_urgent and percent > rule.urgent_percent - rule.hysteresis_percent
    ):
        priority, limit, delay_s = urgent, rule.urgent_percent, rule.urgent_delay_s
    elif percent > rule.advisory_percent:
        priority, limit, delay_s = advisory, rule.advisory_percent, rule.advisory_delay_s
    elif percent > rule.advisory_percent - rule.hysteresis_percent:
        return Sight(key, Input.BETWEEN)
    else:
        return Sight(key, Input.INSIDE)
    prescribed = drip.prescribed or 0.0
    word = "above" if above else "below"
    cause = Cause(
        condition=f"drip_{word}",
        code=CODE_ABOVE if above else CODE_BELOW,
        kind=AlarmKind.PHYSIOLOGICAL,
        source=AlarmSource.GATEWAY,
        priority=priority,
        text=f"infusion rate {drip.flow:g} mL/h is {word} the prescribed {prescribed:g} mL/h",
        limit=prescribed * (1 + (limit if above else -limit) / 100),
        codes=(FLOW_RATE, PROGRAMMED_RATE),
        values=(drip.flow or 0.0, prescribed),
        delay_s=delay_s,
    )
    return Sight(key, Input.CROSSED, cause)
