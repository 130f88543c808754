"""What is known in advance of a report, from its kind and the metrics that it carries.

Devices send the same few combinations of metrics for ever: label, plausible range, alarm
limits and the places of the values that a rule needs are worked out once per combination and
looked up thereafter.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from gateway.domain import terms
from gateway.domain.labels import UNLABELLED, Label
from gateway.infusion.infusion import concerns
from gateway.pipeline.config import PRIORITIES, DripRule, Limits, PipelineConfig
from gateway.pipeline.label import DEFAULT_LABELS, Labels

PLANS_MAX = 4096
"""Combinations remembered; beyond it all are worked out anew."""
_FINITE = sys.float_info.max

_SHORT = {
    terms.HEART_RATE: "hr",
    terms.PULSE_RATE: "pr",
    terms.SPO2: "spo2",
    terms.RESP_RATE: "rr",
    terms.ABP_SYS: "abp_sys",
    terms.ABP_DIA: "abp_dia",
    terms.ABP_MEAN: "abp_mean",
    terms.NIBP_SYS: "nibp_sys",
    terms.NIBP_DIA: "nibp_dia",
    terms.NIBP_MEAN: "nibp_mean",
    terms.TEMPERATURE: "temp",
    terms.ETCO2: "etco2",
}


class Side(NamedTuple):
    """One direction in which one metric can leave its limits."""

    condition: str
    """``"hr_high"``."""
    place: int
    """Where in the report the value is."""
    sign: int
    """+1: too high; -1: too low. ``sign * value > sign * limit`` is a crossing on both sides."""
    steps: tuple[tuple[float, int, float], ...]
    """(limit, priority, delay in seconds), from the mildest to the most severe."""
    hysteresis: float
    metric: terms.Metric


class DripPlaces(NamedTuple):
    """Where in a report the values of a drip are; -1: not there."""

    flow: int
    prescribed: int
    remaining: int
    volume: int
    drops: int
    factor: int
    battery: int


class Plan(NamedTuple):
    """Everything that follows from a report's kind and codes."""

    label: Label
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    """What a sensor in order can report; always finite, so that infinity is outside."""
    calm_lows: tuple[float, ...]
    calm_highs: tuple[float, ...]
    """Inside it a value is plausible and beyond no alarm limit."""
    sides: tuple[Side, ...]
    drip: DripPlaces | None
    battery: int
    infusion: bool
    """Whether such a report may be about an infusion."""


class Plans:
    """The plans of a configuration and a classification, made on first use."""

    def __init__(self, config: PipelineConfig, labels: Labels = DEFAULT_LABELS) -> None:
        self._config = config
        self._labels = labels
        self._known: dict[tuple[str, tuple[int, ...]], Plan] = {}

    def of(self, kind: str, codes: tuple[int, ...]) -> Plan:
        """The plan for reports of ``kind`` with ``codes``."""
        plan = self._known.get((kind, codes))
        if plan is None:
            if len(self._known) >= PLANS_MAX:
                self._known.clear()
            plan = self._known[(kind, codes)] = compile_plan(
                self._config, kind, codes, self._labels
            )
        return plan


def compile_plan(
    config: PipelineConfig, kind: str, codes: tuple[int, ...], labels: Labels = DEFAULT_LABELS
) -> Plan:
    """Work out the plan for reports of ``kind`` with ``codes``."""
    rows = [terms.metric(code) for code in codes]
    lows = [max(row.low, -_FINITE) for row in rows]
    highs = [min(row.high, _FINITE) for row in rows]
    calm_lows, calm_highs = list(lows), list(highs)
    sides: list[Side] = []
    for index, row in enumerate(rows):
        limits = config.limits_of(kind, row.refid)
        if limits is None:
            continue
        for side in _sides(index, row, limits.in_unit(row.unit)):
            sides.append(side)
            mildest = side.steps[0][0]
            if side.sign < 0:
                calm_lows[index] = max(calm_lows[index], mildest)
            else:
                calm_highs[index] = min(calm_highs[index], mildest)
    return Plan(
        labels.of_codes(codes),
        tuple(lows),
        tuple(highs),
        tuple(calm_lows),
        tuple(calm_highs),
        tuple(sides),
        _drip(config.drip, kind, codes),
        _place(codes, terms.BATTERY),
        concerns(codes),
    )


def conditions(config: PipelineConfig) -> frozenset[str]:
    """The names of every condition that limits can raise, also of metrics not declared yet."""
    tables = [config.limits, *(kind.limits for kind in config.kinds.values())]
    rows = {row.refid: row for row in terms.METRICS.values()}
    return frozenset(
        side.condition
        for table in tables
        for refid, limits in table.items()
        for side in _sides(0, rows.get(refid) or _undeclared(refid), limits)
    )


def _sides(index: int, row: terms.Metric, limits: Limits) -> list[Side]:
    name = _SHORT.get(row.code, row.refid.lower())
    mild = (int(PRIORITIES[limits.priority]), limits.delay_s)
    severe = (int(PRIORITIES[limits.critical_priority]), limits.critical_delay_s)
    sides = []
    for suffix, sign, limit, critical in (
        ("low", -1, limits.low, limits.critical_low),
        ("high", 1, limits.high, limits.critical_high),
    ):
        steps = []
        if limit is not None:
            steps.append((limit, *mild))
        if critical is not None:
            steps.append((critical, *severe))
        if steps:
            sides.append(
                Side(f"{name}_{suffix}", index, sign, tuple(steps), limits.hysteresis, row)
            )
    return sides


def _undeclared(refid: str) -> terms.Metric:
    return terms.Metric(0, refid, "", refid, 0, 0, UNLABELLED)


def _place(codes: tuple[int, ...], code: int) -> int:
    return codes.index(code) if code in codes else -1


def _drip(rule: DripRule, kind: str, codes: tuple[int, ...]) -> DripPlaces | None:
    places = DripPlaces(
        flow=_place(codes, terms.FLOW_RATE),
        prescribed=_place(codes, terms.PROGRAMMED_RATE),
        remaining=_place(codes, terms.VOLUME_REMAINING),
        volume=_place(codes, terms.VOLUME_TO_BE_INFUSED),
        drops=_place(codes, terms.DROP_RATE),
        factor=_place(codes, terms.DROP_FACTOR),
        battery=_place(codes, terms.BATTERY),
    )
    # An infusion pump has a flow and a programmed rate too, and alarms of its own.
    watched = rule.enabled and (kind == "drip" or places.drops >= 0)
    return places if watched else None
