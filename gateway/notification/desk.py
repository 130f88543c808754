"""The alarm manager: which people are told of which alarm, when, and what they make of it.

An interpreter (:mod:`gateway.pipeline.interpreters`): it has no I/O, its statements come from the
fan-out (alarms that are on disk, receipts) and from people, and what follows is committed: stories
and silences as state, what happened to them as records. Rules:

1. A notification is about an alarm that is durable. Its number ``n`` counts what was told of its
   alarm; whatever is repeated after a restart has the same one.
2. What an alarm goes through is :mod:`gateway.notification.stories`' business.
3. Stories are bounded. Beyond the bound an alarm of less than high priority is not told of one by
   one; that is a technical alarm of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import Counters, StateView
from gateway.domain.records import (
    Alarm,
    AlarmNotification,
    AlarmPhase,
    AlarmPriority,
    NotificationAction,
)
from gateway.domain.statements import Statement
from gateway.notification import statements as said
from gateway.notification.answers import SILENCE, Answers, Auditor
from gateway.notification.config import NotificationConfig
from gateway.notification.faults import FAILING, OUTLET_FAILED, OVERFLOW, Faults
from gateway.notification.stories import SPACE, Hooks, Stories
from gateway.notification.story import Committed, Input, State, Story
from gateway.notification.telling import Moment
from gateway.pipeline.interpreters import Findings

log = logging.getLogger(__name__)

POSITION: Final = "@position"
STORIES_MAX: Final = 10_000
"""Alarms that are told of one by one; about 20 MB."""
URGENT_RESERVE: Final = 2_000
"""More of them, for those of high priority."""


class Desk:
    """An Interpreter; also read by the fan-out and by who shows alarms to people."""

    conditions = frozenset((OUTLET_FAILED, OVERFLOW))
    spaces = frozenset((SPACE,))

    def __init__(
        self,
        config: NotificationConfig,
        gateway: str,
        ward_of: Callable[[str], str],
        counters: Counters,
        audit: Auditor,
    ) -> None:
        """Build it; ``ward_of`` says where a device is, as the directory has it."""
        self._gateway = gateway
        self._ward_of = ward_of
        self._counters = counters
        self.hooks = Hooks()
        self.stories = Stories(config, counters, self.hooks)
        self.telling = self.stories.telling
        self.answers = Answers(config, gateway, self.stories, self.hooks, counters, audit)
        self.silences = self.answers.silences
        self._faults = Faults(gateway, self.stories, counters)
        self.position: int | None = None
        """Everything of the journal's alarms up to it is known; None: never read."""
        self._on: dict[type[Statement], Callable[[Any, Moment], None]] = {
            said.AlarmsCommitted: self._committed,
            said.Delivered: self._delivered,
            said.NotDelivered: self._not_delivered,
            said.SummaryDelivered: self._summarised,
            said.OutletHeard: self._heard,
            said.Answered: self._answered,
            said.AcknowledgedBy: self.answers.acknowledged,
            said.Silenced: self.answers.silenced,
            said.Unsilenced: self.answers.unsilenced,
            said.Probe: self._faults.probe,
        }

    def follow(self, config: NotificationConfig) -> None:
        """Go on under a changed configuration; what was told stays told."""
        self.answers.follow(config)
        self.stories.follow(config)

    # -- Interpreter

    @property
    def takes(self) -> tuple[type[Statement], ...]:
        """What it understands."""
        return tuple(self._on)

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed; times are looked at with the first tick."""
        del mono
        if view.items(SPACE):
            self._faults.doubt_overflow()
        for key, value in view.items(SPACE).items():
            try:
                if key == POSITION:
                    self.position = int(value)
                elif key.startswith(SILENCE):
                    self.answers.restore(value)
                elif key.startswith(FAILING):
                    self._faults.restore(key.removeprefix(FAILING))
                else:
                    self.stories.restore(key, value)
            except UNDECODABLE:
                log.error("a notification's state can't be read (key of %d bytes)", len(key))  # noqa: TRY400  # nothing more to tell

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now."""
        del space
        if key == POSITION:
            return None if self.position is None else str(self.position).encode()
        if key.startswith(SILENCE):
            return self.answers.value_of(key.removeprefix(SILENCE))
        if key.startswith(FAILING):
            return self._faults.value_of(key.removeprefix(FAILING))
        return self.stories.value_of(key)

    def interpret(self, statement: Any, mono: float, found: Findings) -> None:
        """Something was said."""
        self._found = self.stories.found = found
        now = Moment(statement.received_us, mono)
        self._on[type(statement)](statement, now)
        self._faults.look_at(getattr(statement, "outlet", ""), now)

    def _delivered(self, what: said.Delivered, now: Moment) -> None:
        story = self.stories.get(what.alarm_id)
        self.stories.after(story, self.telling.delivered(story, what, now), now)

    def _not_delivered(self, what: said.NotDelivered, now: Moment) -> None:
        story = self.stories.get(what.alarm_id)
        self.stories.after(story, self.telling.not_delivered(story, what, now), now)

    def _answered(self, what: said.Answered, now: Moment) -> None:
        story = self.stories.get(what.alarm_id)
        self.stories.after(story, self.telling.answered(story, what, now), now)

    def _heard(self, what: said.OutletHeard, _now: Moment) -> None:
        self.telling.heard(what.outlet, what.alive, what.shows, what.reason)

    def tick(self, at_us: int, mono: float, found: Findings) -> None:
        """Time has passed."""
        self._found = self.stories.found = found
        now = Moment(at_us, mono)
        self.stories.tick(now)
        self.answers.tick(now)
        self._faults.tick(now, STORIES_MAX)
        self._show()

    # -- alarms

    def _committed(self, said_: said.AlarmsCommitted, now: Moment) -> None:
        for each in said_.alarms:
            if self.position is None or each.seq > self.position:
                self._alarm(each, now)
        self.position = max(said_.position, self.position or 0)
        self._found.delta(SPACE, POSITION, str(self.position).encode())

    def _alarm(self, committed: Committed, now: Moment) -> None:
        alarm = committed.alarm
        story = self.stories.get(alarm.alarm_id)
        if story is None or story.is_over:
            if alarm.phase is not AlarmPhase.END:
                self._begin(committed, now)
            return
        worse = alarm.priority > story.last.alarm.priority
        story.last = committed
        if alarm.phase is AlarmPhase.END:
            self.stories.feed(story, Input.ENDED, now)
        elif alarm.phase is AlarmPhase.START:
            self.stories.feed(story, Input.BEGAN, now)
        else:
            self.stories.feed(story, Input.WORSENED if worse else Input.CHANGED, now)

    def _begin(self, committed: Committed, now: Moment) -> None:
        alarm = committed.alarm
        ward = self._ward(alarm)
        rule = self.stories.routing.rule(alarm, ward)
        if not rule:
            self._counters.add("notifications_unrouted", alarm.priority.name.lower())
            return
        urgent = alarm.priority is AlarmPriority.HIGH
        if len(self.stories) >= STORIES_MAX + urgent * URGENT_RESERVE:
            self._counters.add("notifications_overflow", alarm.priority.name.lower())
            self._faults.overflow(now, STORIES_MAX, active=True)
            return
        story = Story(committed, ward, rule, State.NONE, min(alarm.at_us, now.at_us))
        covering = self.silences.covering(alarm, ward, now.at_us)
        if covering is not None:
            story.silence = covering.silence_id
        self.stories.add(story, Input.BEGAN if covering is None else Input.COVERED, now)

    def _ward(self, alarm: Alarm) -> str:
        """Where it is: an outlet's alarm is that of the ward where the outlet stands."""
        condition, _, about = alarm.condition.partition("/")
        if condition == OUTLET_FAILED and about in self.telling.outlets:
            return self.telling.outlets[about].ward
        return alarm.ward or self._ward_of(alarm.device_id)

    # -- receipts

    def _summarised(self, what: said.SummaryDelivered, now: Moment) -> None:
        for alarm_id in what.alarm_ids:
            story = self.stories.get(alarm_id)
            told = story.told.get(what.outlet) if story is not None else None
            if story is not None and told is not None:
                told.done = told.n
                self.stories.keep(story)
        if what.alarm_ids:
            self._found.record(
                AlarmNotification(
                    device_id=self._gateway,
                    provenance=said.GATEWAY,
                    at_us=now.at_us,
                    action=NotificationAction.SUMMARISED,
                    outlet=what.outlet,
                    count=len(what.alarm_ids),
                )
            )

    def _show(self) -> None:
        standing = dict.fromkeys(State, 0)
        for story in self.stories:
            standing[story.state] += 1
        for state, n in standing.items():
            if state is not State.NONE:
                self._counters.set("notification_alarms", n, state.name.lower())
        for name, queue in self.telling.queues.items():
            self._counters.set("notification_waiting", len(queue), name)
