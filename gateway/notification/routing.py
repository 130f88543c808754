"""Who is told of an alarm, and in which order: the rules of the configuration, asked.

Rules:

1. The first rule that matches counts; an alarm that none matches is told to nobody.
2. What is not known restricts nothing: an alarm without ward or bed matches any list of them. The
   alarms of the gateway about itself are such.
3. Where nobody of a level is on duty, the next level takes its place. Where nobody of a rule is,
   its first level is told all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.domain.records import Alarm, AlarmPriority
from gateway.notification.config import GroupConfig, NotificationConfig, RuleConfig, zone_of


class Step(NamedTuple):
    """Whom to tell now, and when the next level's turn comes."""

    level: int
    """The highest level that is told, from 1."""
    outlets: tuple[str, ...]
    next_after_s: float | None
    """Since the beginning; None: there is no further level."""


class Routing:
    """The rules of one configuration."""

    def __init__(self, config: NotificationConfig) -> None:
        self._rules = config.rules
        self._by_name = {rule.name: rule for rule in config.rules}
        self._groups = {group.name: group for group in config.groups}
        self._zone = zone_of(config.time_zone)

    def rule(self, alarm: Alarm, ward: str) -> str:
        """The name of the rule for an alarm; empty: there is none."""
        found = (rule.name for rule in self._rules if _matches(rule, alarm, ward))
        return next(found, "")

    def step(
        self, rule_name: str, told: int, waited_s: float, priority: AlarmPriority, at_us: int
    ) -> Step:
        """What follows after level ``told`` (0: nobody yet), ``waited_s`` after the beginning.

        ``level`` is ``told`` where nobody is to be told yet.
        """
        rule = self._by_name.get(rule_name)
        if rule is None:
            return Step(told, (), None)
        levels = [
            (index, delay)
            for index, level in enumerate(rule.levels)
            if index >= told and (delay := level.after_s.of(priority)) is not None
        ]
        due = [index for index, delay in levels if delay <= waited_s]
        later = levels[len(due) :]
        if not due:
            return Step(told, (), later[0][1] if later else None)
        now = self._local(at_us)
        outlets = self._outlets(rule, due, now)
        while not outlets and later:
            due = [later.pop(0)[0]]
            outlets = self._outlets(rule, due, now)
        if not outlets and not told:
            outlets = self._outlets(rule, [levels[0][0]], None)
        return Step(due[-1] + 1, outlets, later[0][1] if later else None)

    def _outlets(
        self, rule: RuleConfig, levels: Iterable[int], now: time | None
    ) -> tuple[str, ...]:
        groups = (self._groups[name] for index in levels for name in rule.levels[index].groups)
        there = (group for group in groups if _is_there(group, now))
        return tuple(dict.fromkeys(name for group in there for name in group.outlets))

    def _local(self, at_us: int) -> time:
        moment = datetime.fromtimestamp(at_us // 1_000_000, UTC)
        return moment.astimezone(self._zone).time().replace(second=0, microsecond=0)


def _is_there(group: GroupConfig, now: time | None) -> bool:
    return now is None or group.on_duty(now)


def _matches(rule: RuleConfig, alarm: Alarm, ward: str) -> bool:
    return (
        (not rule.wards or not ward or ward in rule.wards)
        and (not rule.beds or not alarm.bed or alarm.bed in rule.beds)
        and (not rule.priorities or alarm.priority.name.lower() in rule.priorities)
        and (not rule.kinds or alarm.kind.name.lower() in rule.kinds)
        and (
            not rule.conditions
            or any(fnmatchcase(alarm.condition, each) for each in rule.conditions)
        )
    )
