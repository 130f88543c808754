"""What the hospital may set about the pipeline.

The alarm limits here are defaults that the hospital reviews and edits before use: they are
those of an adult at rest, and no patient is average. The gateway's alarms are a *secondary
notification*: the bedside device stays the primary source of its alarms, and nobody may rely
on the gateway alone.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec

from gateway.domain import ucum
from gateway.domain.errors import ConfigError
from gateway.domain.records import AlarmPriority
from gateway.domain.terms import METRICS

PriorityName = Literal["low", "medium", "high"]

PRIORITIES: dict[PriorityName, AlarmPriority] = {
    "low": AlarmPriority.LOW,
    "medium": AlarmPriority.MEDIUM,
    "high": AlarmPriority.HIGH,
}


UNPACED = frozenset(("alert", "event", "settings", "status"))
"""Kinds that are sent when something happens: without an interval their silence means nothing."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Alarm limits of one metric; a side that is left out has no limit.

    A value beyond ``low`` or ``high`` for ``delay_s`` raises ``priority``; beyond a critical
    limit for ``critical_delay_s`` it raises ``critical_priority``. The alarm ends when the value
    is back inside by more than ``hysteresis``.
    """

    low: float | None = None
    high: float | None = None
    critical_low: float | None = None
    critical_high: float | None = None
    priority: PriorityName = "medium"
    critical_priority: PriorityName = "high"
    delay_s: float = 10.0
    critical_delay_s: float = 3.0
    hysteresis: float = 0.0
    unit: str = ""
    """UCUM, of the limits and the hysteresis; empty: the metric's own, in which values come."""

    def in_unit(self, unit: str) -> Limits:
        """The same limits in another unit.

        Raises:
            ConfigError: their own unit does not convert to it.
        """
        if self.unit in ("", unit):
            return self
        way = ucum.conversion(self.unit, unit)
        if way is None:
            raise ConfigError(f"unit: {self.unit!r} does not convert to {unit!r}")
        sides = {side: way(limit) for side in _SIGNED if (limit := getattr(self, side)) is not None}
        hysteresis = self.hysteresis * abs(way.factor)
        return msgspec.structs.replace(self, **sides, hysteresis=hysteresis, unit=unit)


class DripRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a gravity-drip infusion is called stopped, nearly empty, finished, slow or fast."""

    enabled: bool = True
    advisory_percent: float = 15.0
    """Off the prescribed rate by more than this, either way."""
    urgent_percent: float = 25.0
    hysteresis_percent: float = 3.0
    advisory_delay_s: float = 30.0
    """Drops are counted over seconds: a rate needs time to settle after the clamp is turned."""
    urgent_delay_s: float = 15.0
    stopped_ml_per_h: float = 1.0
    """At or below this nothing flows."""
    stopped_delay_s: float = 20.0
    low_ml: float = 30.0
    low_percent: float = 10.0
    """Nearly empty at the greater of the two (percent of the volume to be infused)."""
    finished_ml: float = 1.0
    battery_percent: float = 15.0
    battery_hysteresis_percent: float = 5.0
    hysteresis_ml: float = 5.0
    stopped_priority: PriorityName = "high"
    finished_priority: PriorityName = "medium"
    low_priority: PriorityName = "low"
    advisory_priority: PriorityName = "low"
    below_priority: PriorityName = "medium"
    above_priority: PriorityName = "high"
    """Free flow: the greater danger."""
    battery_priority: PriorityName = "low"


class InfusionRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the nurse is told that an infusion will soon be empty (:mod:`gateway.infusion`)."""

    warn: bool = True
    lead_s: float = 900.0
    """So long before the earliest likely end: a nurse's way, and the time to fetch the next bag."""
    back_percent: float = 25.0
    """Taken back when the end is further than ``lead_s`` and this share of it."""
    pumps: bool = False
    """Pumps too; they tell their end by themselves."""
    priority: PriorityName = "low"
    infusions_max: int = 4096
    """Kept at a time; beyond it the one unheard for longest is forgotten."""
    forget_s: float = 86_400.0
    """So long unheard, and it is no infusion any more."""


class KindConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is particular to one kind of report."""

    interval_s: float = 10.0
    """How often a device sends it; 0: not at fixed times, so that silence means nothing."""
    limits: dict[str, Limits] = {}
    """By REFID; replaces the general limits of the metric for this kind."""


class SilenceRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a device that does not report is called silent."""

    seconds_min: float = 10.0
    intervals: float = 3.0
    """Silent after the greater of ``seconds_min`` and this many intervals of the kind."""
    restart_grace_s: float = 30.0
    """After a start of the gateway, how long devices have to come back."""
    priority: PriorityName = "medium"
    goodbye_reasons: tuple[str, ...] = ("goodbye", "disconnected", "released", "retired")
    """Reasons of an OFFLINE status that a device gives when it is switched off properly."""


class TimeRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How device time is judged."""

    good_offset_s: float = 2.0
    implausible_before: int = 946_684_800
    """Unix seconds; 2000-01-01: a clock that was never set."""
    implausible_ahead_s: float = 86_400.0
    stale_s: float = 60.0
    """A report this much older than its device's usual offset tells is a late one."""
    stale_forget_s: float = 120.0
    """After so long without a timely report, the device's clock was set back: start anew."""
    backlog_s: float = 604_800.0
    """Nothing is delivered later than this; a clock that is further back was set."""
    uncertain_s: float = 0.05
    """A report whose time may be off by more is marked, the gateway's own clock included."""
    delay_floor_s: float = 0.02
    """The quickest report of a window takes no longer from measurement to receipt."""
    drift_max_ppm: float = 200.0
    """No device's clock runs faster or slower by more."""
    wander_ppm: float = 10.0
    """How much a clock's rate may change, with temperature and age, from what was observed."""
    undated_s: float = 1.0
    """A report without a device time was measured at most so long before its receipt."""
    slew_max_s: float = 10.0
    """When the gateway's clock is set back by no more, measured times go on and let it catch up."""


class DuplicateRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far back a message id is remembered."""

    window: int = 4096
    """Messages per boot of a device; a multiple of 8."""
    boots: int = 4
    """Boots remembered per device."""
    opaque_ids: int = 1024
    """Ids per device that are no ``boot:n`` (an HL7 control id)."""
    devices: int = 20_000


def _adult() -> dict[str, Limits]:
    return {
        "MDC_ECG_HEART_RATE": Limits(50, 120, 40, 150, hysteresis=2),
        "MDC_PULS_OXIM_PULS_RATE": Limits(50, 120, 40, 150, hysteresis=2),
        "MDC_PULS_OXIM_SAT_O2": Limits(low=90, critical_low=85, hysteresis=1),
        "MDC_RESP_RATE": Limits(8, 30, 5, 40, hysteresis=1, critical_delay_s=10),
        "MDC_PRESS_BLD_ART_ABP_SYS": Limits(90, 160, 70, 200, hysteresis=2),
        "MDC_PRESS_BLD_ART_ABP_MEAN": Limits(65, 110, 50, 140, hysteresis=2),
        "MDC_PRESS_BLD_NONINV_SYS": Limits(90, 160, 70, 200, delay_s=0, critical_delay_s=0),
        "MDC_PRESS_BLD_NONINV_MEAN": Limits(65, 110, 50, 140, delay_s=0, critical_delay_s=0),
        "MDC_TEMP": Limits(35.5, 38.5, 34, 40, hysteresis=0.2, delay_s=60, critical_delay_s=30),
        "MDC_CONC_AWAY_CO2_ET": Limits(25, 55, 15, 70, hysteresis=2),
    }


class PipelineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[pipeline]`` table of the gateway's configuration."""

    kinds: dict[str, KindConfig] = msgspec.field(
        default_factory=lambda: {
            "vitals": KindConfig(interval_s=1.0),
            "drip": KindConfig(interval_s=10.0),
            "observations": KindConfig(interval_s=60.0),
        }
    )
    default_interval_s: float = 10.0
    """Of a kind that is not listed, nor sent only when something happens (``UNPACED``)."""
    limits: dict[str, Limits] = msgspec.field(default_factory=_adult)
    """By REFID. Giving any replaces the defaults: a hospital states all the limits it wants."""
    drip: DripRule = DripRule()
    infusion: InfusionRule = InfusionRule()
    silence: SilenceRule = SilenceRule()
    time: TimeRule = TimeRule()
    duplicates: DuplicateRule = DuplicateRule()
    devices_max: int = 20_000
    """Devices that are kept track of; beyond it the one unseen for longest is forgotten."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the path of the offending key.
        """
        _check_numbers("pipeline", msgspec.to_builtins(self))
        for path, table in _tables(self):
            for refid, limits in table.items():
                _check_limits(f"{path}.{refid}", limits)
        if self.drip.advisory_percent > self.drip.urgent_percent:
            raise ConfigError("pipeline.drip.urgent_percent: must not be below advisory_percent")
        _check_sizes(self)

    def interval_s(self, kind: str) -> float:
        """Seconds between two reports of ``kind``; 0: at no fixed times."""
        known = self.kinds.get(kind)
        if known is not None:
            return known.interval_s
        return 0.0 if kind in UNPACED else self.default_interval_s

    def limits_of(self, kind: str, refid: str) -> Limits | None:
        """The limits of a metric in reports of ``kind``."""
        known = self.kinds.get(kind)
        own = None if known is None else known.limits.get(refid)
        return own or self.limits.get(refid)


def check_metrics(config: PipelineConfig) -> None:
    """Refuse limits of metrics that nobody knows: a misspelt one would never raise an alarm.

    To be called when the drivers are imported, since third parties' declare metrics of their own.
    It may take seconds where a limit has a unit that the table lacks (:mod:`gateway.domain.ucum`).

    Raises:
        ConfigError: naming the path of the offending key.
    """
    units = {row.refid: row.unit for row in tuple(METRICS.values())}
    for path, table in _tables(config):
        for refid, limits in table.items():
            unit = units.get(refid)
            if unit is None:
                raise ConfigError(f"{path}.{refid}: no metric has this REFID")
            try:
                limits.in_unit(unit)
            except ConfigError as error:
                raise ConfigError(f"{path}.{refid}.{error}") from error


def _tables(config: PipelineConfig) -> list[tuple[str, dict[str, Limits]]]:
    kinds = [(f"pipeline.kinds.{name}.limits", kind.limits) for name, kind in config.kinds.items()]
    return [("pipeline.limits", config.limits), *kinds]


def _check_sizes(config: PipelineConfig) -> None:
    sizes = config.duplicates
    if sizes.window < 8 or sizes.window % 8:
        raise ConfigError("pipeline.duplicates.window: must be a positive multiple of 8")
    for name, size in (
        ("duplicates.boots", sizes.boots),
        ("duplicates.opaque_ids", sizes.opaque_ids),
        ("duplicates.devices", sizes.devices),
        ("devices_max", config.devices_max),
        ("infusion.infusions_max", config.infusion.infusions_max),
    ):
        if size < 1:
            raise ConfigError(f"pipeline.{name}: must be at least 1")


_SIGNED = frozenset(("low", "high", "critical_low", "critical_high"))
"""Limits may be below zero; times, sizes and shares may not."""


def _check_numbers(path: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_numbers(f"{path}.{key}", inner)
    elif isinstance(value, int | float):
        if not math.isfinite(value):
            raise ConfigError(f"{path}: must be a finite number")
        if value < 0 and path.rpartition(".")[2] not in _SIGNED:
            raise ConfigError(f"{path}: can't be negative")


def _check_limits(path: str, limits: Limits) -> None:
    rising = [
        limit
        for limit in (limits.critical_low, limits.low, limits.high, limits.critical_high)
        if limit is not None
    ]
    if rising != sorted(rising):
        raise ConfigError(f"{path}: critical_low <= low <= high <= critical_high must hold")
