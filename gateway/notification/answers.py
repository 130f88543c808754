"""What people say to alarms: that they have one in hand, that some are silenced, that no longer."""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Counters
from gateway.domain.records import AlarmNotification, NotificationAction
from gateway.notification import statements as said
from gateway.notification.config import NotificationConfig
from gateway.notification.silences import Silence, Silences
from gateway.notification.stories import SPACE, Hooks, Stories
from gateway.notification.story import Acknowledged, Input, State, Story
from gateway.notification.telling import Moment

SILENCE = "@silence/"
"""Before a silence's id in the state space."""


class NotAcknowledgedError(WardgateError):
    """An acknowledgement that does not count."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


class Auditor(Protocol):
    """The audit log."""

    def record(self, event: str, **fields: str | int) -> None:
        """Write one entry."""


class Answers:
    """Of one alarm manager; no I/O but the audit log."""

    def __init__(  # what it speaks of, and to whom
        self,
        config: NotificationConfig,
        gateway: str,
        stories: Stories,
        hooks: Hooks,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._config = config
        self._gateway = gateway
        self._stories = stories
        self._hooks = hooks
        self._counters = counters
        self._audit = audit
        self.silences = Silences(config.silence)

    def follow(self, config: NotificationConfig) -> None:
        """Go on under changed bounds."""
        self._config = config
        self.silences.follow(config.silence)

    def restore(self, value: bytes) -> None:
        """Take over a silence that was committed.

        Raises:
            msgspec.MsgspecError: it can't be read.
        """
        self.silences.begin(msgspec.msgpack.decode(value, type=Silence))

    def value_of(self, silence_id: str) -> bytes | None:
        """A silence as it is kept."""
        silence = self.silences.get(silence_id)
        return None if silence is None else msgspec.msgpack.encode(silence)

    def tick(self, now: Moment) -> None:
        """End the silences whose time is over."""
        for silence in self.silences.over(now.at_us):
            self._end(silence.silence_id, "", now)

    def check(self, alarm_id: str, n: int, outlet: str = "") -> Story:
        """Whether an acknowledgement would count.

        Raises:
            NotAcknowledgedError: ``unknown``, ``not_told`` there, or ``stale``: it got worse since.
        """
        story = self._stories.get(alarm_id)
        if story is None or story.is_over:
            raise NotAcknowledgedError("unknown", "no such alarm stands")
        if outlet and outlet not in story.told:
            raise NotAcknowledgedError("not_told", "that outlet was not told of this alarm")
        if 0 < n < story.opened_n:
            raise NotAcknowledgedError("stale", "it has got worse or was told anew since")
        return story

    def acknowledged(self, what: said.AcknowledgedBy, now: Moment) -> None:
        """Somebody has an alarm in hand."""
        try:
            story = self.check(what.alarm_id, what.n, what.outlet)
        except NotAcknowledgedError as error:
            self._counters.add("notification_answers", error.reason)
            self._audit.record(
                "alarm_acknowledged", result=error.reason, alarm=what.alarm_id, via=what.via
            )
            return
        if what.outlet:
            self._stories.telling.heard(what.outlet, alive=True, shows=True, reason="")
        if story.state is State.ACKNOWLEDGED:
            return
        minutes = self._config.acknowledged_minutes
        until_us = now.at_us + round(minutes * 60e6) if minutes else 0
        story.acknowledged = Acknowledged(what.by, what.via, now.at_us, until_us)
        self._stories.feed(story, Input.ACKNOWLEDGED, now)
        self._stories.schedule(story, now)
        self._counters.add("notification_answers", "acknowledged")
        more = {"by": what.by, "reason": what.via, "until_us": until_us}
        self._stories.note(story, NotificationAction.ACKNOWLEDGED, what.outlet, now.at_us, **more)
        self._audit.record(
            "alarm_acknowledged",
            result="done",
            alarm=what.alarm_id,
            notification=story.n,
            by=what.by,
            via=what.via,
        )

    def silenced(self, what: said.Silenced, now: Moment) -> None:
        """Some are silenced; it was checked (:meth:`Silences.check`)."""
        silence = what.silence
        if not self.silences.begin(silence):
            return
        self._tell_silence(silence, NotificationAction.SILENCED, silence.by, now)
        for story in self._stories:
            alarm = story.last.alarm
            covering = self.silences.covering(alarm, story.ward, now.at_us)
            if covering is not None and story.state is State.OPEN:
                story.silence = covering.silence_id
                self._stories.feed(story, Input.MUTED, now)

    def unsilenced(self, what: said.Unsilenced, now: Moment) -> None:
        """A silence ends before its time."""
        self._end(what.silence_id, what.by, now)

    def _end(self, silence_id: str, by: str, now: Moment) -> None:
        silence = self.silences.end(silence_id)
        if silence is None:
            return
        self._tell_silence(silence, NotificationAction.UNSILENCED, by, now)
        for story in self._stories:
            if story.silence != silence_id or story.state is not State.MUTED:
                continue
            covering = self.silences.covering(story.last.alarm, story.ward, now.at_us)
            if covering is None:
                self._stories.feed(story, Input.UNMUTED, now)
            else:
                story.silence = covering.silence_id
                self._stories.keep(story)

    def _tell_silence(
        self, silence: Silence, action: NotificationAction, by: str, now: Moment
    ) -> None:
        key = f"{SILENCE}{silence.silence_id}"
        self._stories.found.delta(SPACE, key, self.value_of(silence.silence_id))
        self._stories.found.record(
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
        self._hooks.change("")
