"""What the rules see in one report: (condition, input, cause) for each condition they watch.

Rules are pure: they get the report's values and the conditions that its device holds, and say
what they see; :mod:`gateway.pipeline.alarms.engine` keeps the state. Values that are not VALID
or QUESTIONABLE are not seen at all; a QUESTIONABLE one may raise, but ends and softens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from gateway.domain.records import AlarmKind, AlarmPriority, AlarmSource, Quality
from gateway.pipeline.alarms.state import Cause, Held, Input, key_of
from gateway.pipeline.plan import Plan, Side

_VALID = int(Quality.VALID)
_QUESTIONABLE = int(Quality.QUESTIONABLE)
_EVENT = 3 << 16
CODE_BELOW_LIMIT: Final = _EVENT | 0xF001
"""Private: partition 3 keeps F000..FFFF for it."""
CODE_ABOVE_LIMIT: Final = _EVENT | 0xF002


class Sight(NamedTuple):
    """What a rule sees of one condition."""

    key: str
    input: Input
    cause: Cause | None = None
    """Given with CROSSED; the engine turns CROSSED into CHANGED where the priority differs."""


class Readings(NamedTuple):
    """A report's numeric part."""

    codes: tuple[int, ...]
    values: tuple[float, ...]
    qualities: tuple[int, ...]
    """Empty when all are valid."""

    def quality(self, index: int) -> int:
        """The quality of one value."""
        return self.qualities[index] if self.qualities else _VALID

    def valid(self, index: int) -> float | None:
        """The value there, when there is one and it is valid."""
        if index < 0 or self.quality(index) != _VALID:
            return None
        return self.values[index]


def limits(plan: Plan, readings: Readings, holds: Mapping[str, Held]) -> Iterator[Sight]:
    """Compare each value with its limits."""
    for side in plan.sides:
        sight = _limit(side, readings, holds)
        if sight is not None:
            yield sight


def _limit(side: Side, readings: Readings, holds: Mapping[str, Held]) -> Sight | None:
    key = key_of(AlarmSource.GATEWAY, side.condition)
    held = holds.get(key)
    quality = readings.quality(side.place)
    if quality not in (_VALID, _QUESTIONABLE):
        return None if held is None else Sight(key, Input.UNKNOWN)
    signed = side.sign * readings.values[side.place]
    crossed = [step for step in side.steps if signed > side.sign * step[0]]
    step = crossed[-1] if crossed else None
    if held is not None and (step is None or step[1] < held.cause.priority):
        # It would end or soften: only a valid value does, and only clear of the hysteresis.
        within = [s for s in side.steps if signed >= side.sign * s[0] - side.hysteresis]
        kept = within[-1] if within else None
        if quality == _QUESTIONABLE:
            return Sight(key, Input.UNKNOWN)
        if step is None:
            return Sight(key, Input.INSIDE if kept is None else Input.BETWEEN)
        if kept is not None and kept[1] >= held.cause.priority:
            return Sight(key, Input.CROSSED, held.cause)
    if step is None:
        return None
    limit, priority, delay_s = step
    value = readings.values[side.place]
    word = "above" if side.sign > 0 else "below"
    return Sight(
        key,
        Input.CROSSED,
        Cause(
            condition=side.condition,
            code=CODE_ABOVE_LIMIT if side.sign > 0 else CODE_BELOW_LIMIT,
            kind=AlarmKind.PHYSIOLOGICAL,
            source=AlarmSource.GATEWAY,
            priority=AlarmPriority(priority),
            text=f"{side.metric.name} {word} {limit:g} {side.metric.unit}: {value:g}",
            limit=limit,
            codes=(side.metric.code,),
            values=(value,),
            delay_s=delay_s,
        ),
    )
