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
from typing import Any, Final, Protocol

import msgspec

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Counters, StateView
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmNotification,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    NotificationAction,
)
from gateway.domain.statements import Statement
from gateway.notification import statements as said
from gateway.notification.config import NotificationConfig
from gateway.notification.silences import Silence, Silences
from gateway.notification.stories import SPACE, Hooks, Stories
from gateway.notification.story import Acknowledged, Committed, Input, State, Story
from gateway.notification.telling import Moment
from gateway.pipeline.alarms.state import Cause, Context
from gateway.pipeline.interpreters import Findings

log = logging.getLogger(__name__)

POSITION: Final = "@position"
SILENCE: Final = "@silence/"
STORIES_MAX: Final = 10_000
"""Alarms that are told of one by one; about 20 MB."""
URGENT_RESERVE: Final = 2_000
"""More of them, for those of high priority."""
CODE_MALFUNCTION: Final = 196678
"""MDC_EVT_MALF."""
OUTLET_FAILED: Final = "outlet_failed"
OVERFLOW: Final = "notification_overflow"


class NotAcknowledgedError(WardgateError):
    """An acknowledgement that does not count."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class Auditor(Protocol):
    """The audit log."""

    def record(self, event: str, **fields: str | int) -> None:
        """Write one entry."""


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
        self._config = config
        self._gateway = gateway
        self._ward_of = ward_of
        self._counters = counters
        self._audit = audit
        self.hooks = Hooks()
        self.stories = Stories(config, counters, self.hooks)
        self.telling = self.stories.telling
        self.silences = Silences(config.silence)
        self.position: int | None = None
        """Everything of the journal's alarms up to it is known; None: never read."""
        self._on: dict[type[Statement], Callable[[Any, Moment], None]] = {
            said.AlarmsCommitted: self._committed,
            said.Delivered: self._delivered,
            said.NotDelivered: self._not_delivered,
            said.SummaryDelivered: self._summarised,
            said.OutletHeard: self._heard,
            said.Answered: self._answered,
            said.AcknowledgedBy: self._acknowledged,
            said.Silenced: self._silenced,
            said.Unsilenced: self._unsilenced,
            said.Probe: self._probe,
        }
        self._failing: dict[str, bool] = {}
        self._overflows = False

    def follow(self, config: NotificationConfig) -> None:
        """Go on under a changed configuration; what was told stays told."""
        self._config = config
        self.silences.follow(config.silence)
        self.stories.follow(config)

    # -- Interpreter

    @property
    def takes(self) -> tuple[type[Statement], ...]:
        """What it understands."""
        return tuple(self._on)

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed; times are looked at with the first tick."""
        del mono
        self._overflows = bool(view.items(SPACE))  # whether it did, the next tick finds out
        for key, value in view.items(SPACE).items():
            try:
                if key == POSITION:
                    self.position = int(value)
                elif key.startswith(SILENCE):
                    self.silences.begin(msgspec.msgpack.decode(value, type=Silence))
                else:
                    self.stories.restore(key, value)
            except (msgspec.MsgspecError, ValueError):
                log.error("a notification's state can't be read (key of %d bytes)", len(key))  # noqa: TRY400  # nothing more to tell

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now."""
        del space
        if key == POSITION:
            return None if self.position is None else str(self.position).encode()
        if key.startswith(SILENCE):
            silence = self.silences.get(key.removeprefix(SILENCE))
            return None if silence is None else msgspec.msgpack.encode(silence)
        return self.stories.value_of(key)

    def interpret(self, statement: Any, mono: float, found: Findings) -> None:
        """Something was said."""
        self._found = self.stories.found = found
        now = Moment(statement.received_us, mono)
        self._on[type(statement)](statement, now)
        self._look_at(getattr(statement, "outlet", ""), now)

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
        for silence in self.silences.over(at_us):
            self._end_silence(silence.silence_id, "", now)
        for name in tuple(self.telling.standing):
            self._look_at(name, now)
        if self._overflows and len(self.stories) < STORIES_MAX * 9 // 10:
            self._overflow(now, active=False)
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
            self._overflow(now, active=True)
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

    def _after(self, story: Story | None, changed: bool, now: Moment) -> None:
        """A notification came further, or was given up."""
        if story is None or not changed:
            return
        told = story.told.values()
        if story.due_us and told and all(each.failed and not each.waits for each in told):
            self.stories.feed(story, Input.DUE, now)
        self.stories.keep(story)

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

    # -- people

    def check_acknowledgement(self, alarm_id: str, n: int, outlet: str = "") -> Story:
        """Whether an acknowledgement would count.

        Raises:
            NotAcknowledgedError: ``unknown``, ``not_told`` there, or ``stale``: it got worse since.
        """
        story = self.stories.get(alarm_id)
        if story is None or story.is_over:
            raise NotAcknowledgedError("unknown", "no such alarm stands")
        if outlet and outlet not in story.told:
            raise NotAcknowledgedError("not_told", "that outlet was not told of this alarm")
        if 0 < n < story.opened_n:
            raise NotAcknowledgedError("stale", "it has got worse or was told anew since")
        return story

    def _acknowledged(self, what: said.AcknowledgedBy, now: Moment) -> None:
        try:
            story = self.check_acknowledgement(what.alarm_id, what.n, what.outlet)
        except NotAcknowledgedError as error:
            self._counters.add("notification_answers", error.reason)
            self._audit.record(
                "alarm_acknowledged", result=error.reason, alarm=what.alarm_id, via=what.via
            )
            return
        if what.outlet:
            self.telling.heard(what.outlet, alive=True, shows=True, reason="")
        if story.state is State.ACKNOWLEDGED:
            return
        minutes = self._config.acknowledged_minutes
        until_us = now.at_us + round(minutes * 60e6) if minutes else 0
        story.acknowledged = Acknowledged(what.by, what.via, now.at_us, until_us)
        self.stories.feed(story, Input.ACKNOWLEDGED, now)
        self.stories.schedule(story, now)
        self._counters.add("notification_answers", "acknowledged")
        more = {"by": what.by, "reason": what.via, "until_us": until_us}
        self.stories.note(story, NotificationAction.ACKNOWLEDGED, what.outlet, now.at_us, **more)
        self._audit.record(
            "alarm_acknowledged",
            result="done",
            alarm=what.alarm_id,
            notification=story.n,
            by=what.by,
            via=what.via,
        )

    def _silenced(self, what: said.Silenced, now: Moment) -> None:
        silence = what.silence
        if not self.silences.begin(silence):
            return
        self._tell_silence(silence, NotificationAction.SILENCED, silence.by, now)
        for story in self.stories:
            alarm = story.last.alarm
            covering = self.silences.covering(alarm, story.ward, now.at_us)
            if covering is not None and story.state is State.OPEN:
                story.silence = covering.silence_id
                self.stories.feed(story, Input.MUTED, now)

    def _unsilenced(self, what: said.Unsilenced, now: Moment) -> None:
        self._end_silence(what.silence_id, what.by, now)

    def _end_silence(self, silence_id: str, by: str, now: Moment) -> None:
        silence = self.silences.end(silence_id)
        if silence is None:
            return
        self._tell_silence(silence, NotificationAction.UNSILENCED, by, now)
        for story in self.stories:
            if story.silence != silence_id or story.state is not State.MUTED:
                continue
            covering = self.silences.covering(story.last.alarm, story.ward, now.at_us)
            if covering is None:
                self.stories.feed(story, Input.UNMUTED, now)
            else:
                story.silence = covering.silence_id
                self.stories.keep(story)

    def _tell_silence(
        self, silence: Silence, action: NotificationAction, by: str, now: Moment
    ) -> None:
        key = f"{SILENCE}{silence.silence_id}"
        self._found.delta(SPACE, key, self.value_of(SPACE, key))
        self._found.record(
            AlarmNotification(
                device_id=silence.device_id or self._gateway,
                provenance=said.GATEWAY,
                at_us=now.at_us,
                action=action,
                condition=silence.condition,
                bed=silence.bed,
                ward=silence.ward,
                by=by,
                reason=silence.reason,
                since_us=silence.begun_us,
                until_us=silence.until_us,
            )
        )
        self._audit.record(
            "alarms_silenced" if action is NotificationAction.SILENCED else "alarms_unsilenced",
            silence=silence.silence_id,
            bed=silence.bed,
            device=silence.device_id,
            condition=silence.condition,
            by=by,
            until_us=silence.until_us,
            why=silence.reason,
        )
        self.hooks.change("")

    # -- the gateway's own alarms

    def _look_at(self, name: str, now: Moment) -> None:
        """Whether an outlet began or ceased to fail."""
        standing = self.telling.standing.get(name)
        if standing is None or self._failing.get(name) is standing.failing:
            return
        if not standing.failing and not standing.worked:
            return  # nothing is known yet: what the process before had found still holds
        self._failing[name] = standing.failing
        self._counters.set("notification_outlet_failing", float(standing.failing), name)
        text = f"outlet {name} is not reached: {standing.reason}"
        self._condition(f"{OUTLET_FAILED}/{name}", text, now, active=standing.failing)
        if not standing.failing:
            for story in self.stories.missed(name):
                self.telling.tell(story, (name,), now.at_us)
                self.stories.keep(story)

    def _probe(self, what: said.Probe, now: Moment) -> None:
        missed = max(
            self.stories.missed(what.outlet),
            key=lambda each: each.last.alarm.priority,
            default=None,
        )
        if missed is not None:
            self.telling.tell(missed, (what.outlet,), now.at_us)
            self.stories.keep(missed)

    def _overflow(self, now: Moment, *, active: bool) -> None:
        self._overflows = active
        text = f"more than {STORIES_MAX} alarms stand: not every one is told"
        self._condition(OVERFLOW, text, now, active=active, priority=AlarmPriority.HIGH)

    def _condition(
        self,
        condition: str,
        text: str,
        now: Moment,
        *,
        active: bool,
        priority: AlarmPriority = AlarmPriority.MEDIUM,
    ) -> None:
        cause = Cause(
            condition,
            CODE_MALFUNCTION,
            AlarmKind.TECHNICAL,
            AlarmSource.GATEWAY,
            priority,
            text,
        )
        context = Context(self._gateway, "", said.GATEWAY, now.at_us, now.mono)
        self._found.condition(context, cause, active=active)

    def _show(self) -> None:
        standing = dict.fromkeys(State, 0)
        for story in self.stories:
            standing[story.state] += 1
        for state, n in standing.items():
            if state is not State.NONE:
                self._counters.set("notification_alarms", n, state.name.lower())
        for name, queue in self.telling.queues.items():
            self._counters.set("notification_waiting", len(queue), name)
