"""The alarms that people are told of, fed into the table of :mod:`gateway.notification.story`.

Rules:

1. Each change is kept (a state delta) and told to who shows alarms.
2. When the next level is told is counted from the alarm's beginning, also across a restart; times
   are kept by the wall clock, and waited for by one that never jumps.
3. Where nobody of those who were told can be reached, the next level is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway.domain.ports import Counters
from gateway.domain.records import AlarmNotification, NotificationAction
from gateway.notification.config import NotificationConfig
from gateway.notification.routing import Routing
from gateway.notification.statements import GATEWAY
from gateway.notification.story import TABLE, Effect, Input, State, Story, persist, revive
from gateway.notification.telling import Moment, Telling
from gateway.notification.timers import Kind, Timer, Timers
from gateway.pipeline.interpreters import Findings

SPACE: Final = "notification"


def _nobody(_name: str) -> None:
    """Nobody listens."""


class Hooks:
    """Whom to tell what happens; whoever wants to know sets itself in."""

    def __init__(self) -> None:
        self.work: Callable[[str], None] = _nobody
        """Something waits for an outlet."""
        self.change: Callable[[str], None] = _nobody
        """A story changed, or is gone; with an empty id: a silence."""


class Stories:
    """Those that stand, and those of which not everybody knows that they are over."""

    def __init__(self, config: NotificationConfig, counters: Counters, hooks: Hooks) -> None:
        self._counters = counters
        self._hooks = hooks
        self._timers = Timers()
        self._by_id: dict[str, Story] = {}
        self._unseen: list[Story] = []
        """To be looked at with the next tick: their times, and outlets that are no more."""
        self.found = Findings()
        """Where everything goes that has to be committed."""
        self.telling = Telling(config.outlets, self._timers, counters, self.note, hooks)
        self.routing = Routing(config)

    def follow(self, config: NotificationConfig) -> None:
        """Go on under a changed configuration; what was told stays told."""
        self.routing = Routing(config)
        self.telling.follow(config.outlets)
        self._unseen = list(self)

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Story]:
        return iter(tuple(self._by_id.values()))

    def get(self, alarm_id: str) -> Story | None:
        """One of them."""
        return self._by_id.get(alarm_id)

    def add(self, story: Story, seen: Input, now: Moment) -> None:
        """An alarm began."""
        self._by_id[story.alarm_id] = story
        self.feed(story, seen, now)

    def restore(self, alarm_id: str, value: bytes) -> None:
        """Take over what was committed; its times are looked at with the first tick.

        Raises:
            msgspec.MsgspecError: it can't be read.
        """
        story = self._by_id[alarm_id] = revive(value)
        self.telling.resume(story)
        self._unseen.append(story)

    def value_of(self, alarm_id: str) -> bytes | None:
        """A story as it is now."""
        story = self._by_id.get(alarm_id)
        return None if story is None else persist(story)

    def tick(self, now: Moment) -> None:
        """Time has passed."""
        unseen, self._unseen = self._unseen, []
        for story in unseen:
            self.telling.drop_unknown(story)
            self.schedule(story, now)
            if story.is_over:
                self.keep(story)
        for timer in self._timers.due(now.mono):
            found = self._by_id.get(timer.alarm_id)
            if found is not None:
                self._timed(timer, found, now)

    # -- the table

    def feed(self, story: Story, seen: Input, now: Moment) -> None:
        """Something happened to an alarm: do what the table says."""
        effect, story.state = TABLE[story.state, seen]
        alarm = story.last.alarm
        match effect:
            case Effect.NOTHING:
                return
            case Effect.BEGIN:
                self._next_level(story, now, alarm.at_us)
            case Effect.TELL:
                self._tell_again(story, alarm.at_us)
            case Effect.STOP:
                story.due_us, story.silence = 0, ""
                self._tell_again(story, now.at_us)
            case Effect.QUIET:
                story.due_us = 0
                self.telling.cease(story)
            case Effect.ESCALATE:
                self._next_level(story, now, now.at_us)
            case Effect.REOPEN:
                self._reopen(story, now, alarm.at_us if seen is Input.WORSENED else now.at_us)
            case Effect.CLOSE:
                story.due_us = 0
                self.telling.close(story, alarm.at_us)
        self.keep(story)

    def _next_level(self, story: Story, now: Moment, since_us: int) -> None:
        waited_s = (story.due_us - story.opened_us) / 1e6 if story.due_us else 0.0
        alarm, told = story.last.alarm, story.level
        if not told:
            waited_s = max(waited_s, (now.at_us - story.opened_us) / 1e6)
        step = self.routing.step(story.rule, told, waited_s, alarm.priority, now.at_us)
        story.due_us = 0
        if step.next_after_s is not None:
            story.due_us = story.opened_us + round(step.next_after_s * 1e6)
        if step.outlets:
            story.n += 1
            story.level = step.level
            self.telling.tell(story, step.outlets, since_us)
            if told:
                self._counters.add("notification_escalations", str(step.level))
                self.note(story, NotificationAction.ESCALATED, "", now.at_us)
        self.schedule(story, now)

    def _tell_again(self, story: Story, since_us: int) -> None:
        if story.told:
            story.n += 1
            self.telling.tell(story, tuple(story.told), since_us)

    def _reopen(self, story: Story, now: Moment, since_us: int) -> None:
        heard = tuple(story.told)
        story.opened_us, story.opened_n = now.at_us, story.n + 1
        story.level, story.due_us = 0, 0
        story.acknowledged, story.silence = None, ""
        story.rule = self.routing.rule(story.last.alarm, story.ward) or story.rule
        self._next_level(story, now, since_us)
        if story.n >= story.opened_n:
            self.telling.tell(story, heard, since_us)
        else:
            self._tell_again(story, since_us)
        self.note(story, NotificationAction.REOPENED, "", now.at_us)

    def schedule(self, story: Story, now: Moment) -> None:
        """Set the timers that a story's times ask for; they never lie further than they should."""
        if story.due_us:
            self._set(Kind.LEVEL, story, story.due_us, now)
        until = story.acknowledged.until_us if story.acknowledged is not None else 0
        if until:
            self._set(Kind.LAPSE, story, until, now)

    def _set(self, kind: Kind, story: Story, at_us: int, now: Moment) -> None:
        wait_s = max(0.0, (at_us - now.at_us) / 1e6)
        self._timers.set(now.mono + wait_s, Timer(kind, story.alarm_id, "", at_us))

    def _timed(self, timer: Timer, story: Story, now: Moment) -> None:
        match timer.kind:
            case Kind.LEVEL if timer.stamp == story.due_us:
                self.feed(story, Input.DUE, now)
            case Kind.LAPSE:
                acknowledged = story.acknowledged
                if acknowledged is not None and acknowledged.until_us == timer.stamp:
                    self.feed(story, Input.LAPSED, now)
            case Kind.RETRY:
                self.telling.retry(story, timer.outlet, timer.stamp)
            case Kind.ANSWER:
                given_up = self.telling.unanswered(story, timer.outlet, timer.stamp, now)
                self.after(story, given_up, now)
            case _:
                return

    # -- receipts

    def after(self, story: Story | None, changed: bool, now: Moment) -> None:
        """A notification came further, or was given up."""
        if story is None or not changed:
            return
        told = story.told.values()
        if story.due_us and told and all(each.failed and not each.waits for each in told):
            self.feed(story, Input.DUE, now)
        self.keep(story)

    def missed(self, outlet: str) -> Iterator[Story]:
        """Those that stand and whose newest notification failed at an outlet."""
        for story in self:
            told = story.told.get(outlet)
            if told is not None and told.failed and story.state in (State.OPEN, State.ACKNOWLEDGED):
                yield story

    # -- what is kept and told

    def keep(self, story: Story) -> None:
        """It changed: commit it, or that it is held no longer."""
        if story.is_over and not story.waits:
            self._by_id.pop(story.alarm_id, None)
        self.found.delta(SPACE, story.alarm_id, self.value_of(story.alarm_id))
        self._hooks.change(story.alarm_id)

    def note(
        self, story: Story, action: NotificationAction, outlet: str, at_us: int, **more: Any
    ) -> None:
        """Tell the core what happened to it."""
        alarm = story.last.alarm
        told = story.told.get(outlet)
        fields: dict[str, Any] = {"n": story.n, "level": told.level if told else story.level}
        self.found.record(
            AlarmNotification(
                device_id=alarm.device_id,
                provenance=GATEWAY,
                at_us=at_us,
                action=action,
                alarm_id=alarm.alarm_id,
                condition=alarm.condition,
                priority=alarm.priority,
                phase=alarm.phase,
                bed=alarm.bed,
                ward=story.ward,
                outlet=outlet,
                **fields | more,
            )
        )
