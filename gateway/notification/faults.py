"""What is wrong with the telling itself, as technical alarms of the gateway's.

``outlet_failed/<name>``: an outlet takes nothing; it ends when something is delivered there, or
when the outlet is configured no more. ``notification_overflow``: more alarms stand than can be told
of one by one. Both are told like any alarm, to those who can still be reached.
"""

from __future__ import annotations

from typing import Final

from gateway.domain.ports import Counters
from gateway.domain.records import AlarmKind, AlarmPriority, AlarmSource
from gateway.notification import statements as said
from gateway.notification.stories import SPACE, Stories
from gateway.notification.telling import Moment
from gateway.pipeline.alarms.state import Cause, Context

CODE_MALFUNCTION: Final = 196678
"""MDC_EVT_MALF."""
OUTLET_FAILED: Final = "outlet_failed"
OVERFLOW: Final = "notification_overflow"
FAILING: Final = "@failing/"
"""Before an outlet's name in the state space: its alarm stands."""


class Faults:
    """Which of them stand; no I/O."""

    def __init__(self, gateway: str, stories: Stories, counters: Counters) -> None:
        self._gateway = gateway
        self._stories = stories
        self._counters = counters
        self._failing: dict[str, bool] = {}
        """By outlet; one of which nothing is known yet is missing."""
        self._overflows = False

    def restore(self, name: str) -> None:
        """An outlet's alarm stands from before the restart."""
        self._failing[name] = True

    def doubt_overflow(self) -> None:
        """After a restart: whether it stands, the next tick finds out."""
        self._overflows = True

    def value_of(self, name: str) -> bytes | None:
        """Whether an outlet's alarm stands, as it is kept."""
        return b"1" if self._failing.get(name) else None

    def tick(self, now: Moment, stories_max: int) -> None:
        """Look at every outlet, and at how many alarms stand."""
        standing = self._stories.telling.standing
        failing = sum(each.failing for each in standing.values())
        self._counters.set("notification_outlets_failing", failing)
        for name in tuple(standing):
            self.look_at(name, now)
        for name in [each for each in self._failing if each not in standing]:
            if self._failing.pop(name):
                self._tell(name, "configured no more", now, active=False)
        if self._overflows and len(self._stories) < stories_max * 9 // 10:
            self.overflow(now, stories_max, active=False)

    def look_at(self, name: str, now: Moment) -> None:
        """Whether an outlet began or ceased to fail."""
        standing = self._stories.telling.standing.get(name)
        if standing is None or self._failing.get(name) is standing.failing:
            return
        if not standing.failing and not standing.worked:
            return  # nothing is known yet: what the process before had found still holds
        self._failing[name] = standing.failing
        self._tell(name, standing.reason, now, active=standing.failing)
        if not standing.failing:
            for story in self._stories.missed(name):
                self._stories.telling.tell(story, (name,), now.at_us)
                self._stories.keep(story)

    def probe(self, what: said.Probe, now: Moment) -> None:
        """Try a failing outlet with the most urgent alarm that it has missed."""
        missed = max(
            self._stories.missed(what.outlet),
            key=lambda each: each.last.alarm.priority,
            default=None,
        )
        if missed is not None:
            self._stories.telling.tell(missed, (what.outlet,), now.at_us)
            self._stories.keep(missed)

    def overflow(self, now: Moment, stories_max: int, *, active: bool) -> None:
        """More stand than can be told of one by one, or no longer."""
        self._overflows = active
        text = f"more than {stories_max} alarms stand: not every one is told"
        self._condition(OVERFLOW, text, AlarmPriority.HIGH, now, active=active)

    def _tell(self, name: str, reason: str, now: Moment, *, active: bool) -> None:
        self._counters.set("notification_outlet_failing", float(active), name)
        self._stories.found.delta(SPACE, f"{FAILING}{name}", self.value_of(name))
        text = f"outlet {name} is not reached: {reason.replace('_', ' ')}"
        condition = f"{OUTLET_FAILED}/{name}"
        self._condition(condition, text, AlarmPriority.MEDIUM, now, active=active)

    def _condition(
        self, condition: str, text: str, priority: AlarmPriority, now: Moment, *, active: bool
    ) -> None:
        technical, source = AlarmKind.TECHNICAL, AlarmSource.GATEWAY
        cause = Cause(condition, CODE_MALFUNCTION, technical, source, priority, text)
        context = Context(self._gateway, "", said.GATEWAY, now.at_us, now.mono)
        self._stories.found.condition(context, cause, active=active)
