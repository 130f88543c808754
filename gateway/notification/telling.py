"""How notifications stand with each outlet: what waits, what came of it, and who does not answer.

Rules:

1. A notification is done when the outlet has it, or, where screens have to answer, when one shows
   it. Until then it is tried again, with growing pauses, ``attempts_max`` times at most; then it
   has failed.
2. An outlet at which a notification failed is *failing*: a technical alarm, until something is
   delivered there again. What stands and failed there is then told anew.
3. What the policy withholds is done, and is no failure of the outlet.
4. An outlet that is configured no more is told nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from gateway.domain.ports import Counters
from gateway.domain.records import NotificationAction
from gateway.notification.config import Outlet
from gateway.notification.queue import Queue
from gateway.notification.statements import Answered, Delivered, NotDelivered, Seen
from gateway.notification.story import Story, Told
from gateway.notification.timers import Kind, Timer, Timers

NO_ANSWER = "no_answer"
MISSED_HEARTBEATS = 2
"""Signs of life that can fail in a row before an outlet is failing."""
_SHOWN = {Seen.DISPLAYED: NotificationAction.DISPLAYED, Seen.READ: NotificationAction.READ}


class Note(Protocol):
    """Tells the core what happened to an alarm at an outlet."""

    def __call__(
        self, story: Story, action: NotificationAction, outlet: str, at_us: int, **more: object
    ) -> None:
        """Make the record."""


class HasWork(Protocol):
    """Who is told that something waits for an outlet."""

    work: Callable[[str], None]


class Moment(NamedTuple):
    """Now, by both clocks."""

    at_us: int
    mono: float


class Standing:
    """Whether an outlet does its work."""

    __slots__ = ("failing", "missed", "reason", "worked")

    def __init__(self) -> None:
        self.failing = False
        self.worked = False
        """Something was delivered since the start; until then only failures are known."""
        self.reason = ""
        self.missed = 0
        """Signs of life that failed in a row."""


class Telling:
    """Queues, retries and standing of every outlet; no I/O."""

    def __init__(
        self,
        outlets: Iterable[Outlet],
        timers: Timers,
        counters: Counters,
        note: Note,
        hooks: HasWork,
    ) -> None:
        self._timers = timers
        self._counters = counters
        self._note = note
        self._hooks = hooks
        self.outlets: Mapping[str, Outlet] = {}
        self.queues: dict[str, Queue] = {}
        self.standing: dict[str, Standing] = {}
        self.follow(outlets)

    def follow(self, outlets: Iterable[Outlet]) -> None:
        """Go on with these outlets."""
        self.outlets = {each.name: each for each in outlets}
        for name in self.queues.keys() - self.outlets.keys():
            del self.queues[name], self.standing[name]
        for name, outlet in self.outlets.items():
            if name in self.queues:
                self.queues[name].follow(outlet.waiting_max)
            else:
                self.queues[name] = Queue(outlet.waiting_max)
                self.standing[name] = Standing()

    def tell(self, story: Story, outlets: Iterable[str], since_us: int) -> None:
        """The story's newest notification goes to these."""
        for name in outlets:
            told = story.told.setdefault(name, Told(0))
            told.n, told.level, told.since_us = story.n, story.level, since_us
            told.attempts, told.failed, told.seen = 0, False, 0
            # What failed there is told anew under the same number.
            told.done = min(told.done, told.n - 1)
            told.received = min(told.received, told.n - 1)
            self._put(story, name, told)

    def resume(self, story: Story, only: str = "") -> None:
        """What was on its way, and has nobody who carries it, goes on its way again."""
        for name, told in story.told.items():
            if told.waits and only in ("", name):
                self._put(story, name, told)

    def drop_unknown(self, story: Story) -> None:
        """Outlets that are configured no more are told nothing."""
        for name, told in story.told.items():
            if told.waits and name not in self.outlets:
                told.done, told.failed = told.n, True

    def cease(self, story: Story) -> None:
        """Nothing more of a story is to be told, but for what is under way."""
        for name, told in story.told.items():
            told.done = told.n
            if name in self.queues:
                self.queues[name].drop(story.alarm_id)

    def close(self, story: Story, since_us: int) -> None:
        """It is over: tell those who heard of it, and spare the others."""
        story.n += 1
        for name, told in list(story.told.items()):
            if told.received or told.attempts or not self._spare(story, name):
                self.tell(story, (name,), since_us)
            else:
                told.done = told.n

    def _spare(self, story: Story, name: str) -> bool:
        """Take the beginning away from who has not heard of it; False when it is under way."""
        queue = self.queues.get(name)
        return queue is None or queue.forget(story.alarm_id)

    def _put(self, story: Story, name: str, told: Told) -> None:
        queue = self.queues.get(name)
        if queue is None:
            told.done, told.failed = told.n, True
            return
        queue.put(story.alarm_id, story.last.alarm.priority)
        self._hooks.work(name)

    # -- what came of it

    def delivered(self, story: Story | None, what: Delivered, now: Moment) -> bool:
        """The outlet has it; whether that was news."""
        self._settle(what.outlet, what.alarm_id)
        told = story.told.get(what.outlet) if story is not None else None
        outlet = self.outlets.get(what.outlet)
        if story is None or told is None or outlet is None:
            return False
        if outlet.expects == "displayed":
            if what.n == told.n and told.waits:
                timer = Timer(Kind.ANSWER, what.alarm_id, what.outlet, what.n)
                self._timers.set(now.mono + outlet.answer_s, timer)
        else:
            told.done = max(told.done, what.n)
            self._works(what.outlet)
        if what.n <= told.received:
            return False
        told.received = what.n
        waited_s = max(0, now.at_us - told.since_us) / 1e6
        self._counters.observe("notification_seconds", waited_s, what.outlet)
        self._count(what.outlet, NotificationAction.RECEIVED)
        since_us = told.since_us
        self._note(
            story, NotificationAction.RECEIVED, what.outlet, now.at_us, n=what.n, since_us=since_us
        )
        return True

    def not_delivered(self, story: Story | None, what: NotDelivered, now: Moment) -> bool:
        """It was not; whether it was given up."""
        self._settle(what.outlet, what.alarm_id)
        return story is not None and self._failed(story, what, now)

    def unanswered(self, story: Story, name: str, n: int, now: Moment) -> bool:
        """No screen says that it shows it, and one should have; whether it was given up."""
        told = story.told.get(name)
        if told is None or told.n != n or not told.waits or told.seen:
            return False
        what = NotDelivered(
            device_id="",
            provenance=story.last.alarm.provenance,
            received_us=now.at_us,
            outlet=name,
            alarm_id=story.alarm_id,
            n=n,
            reason=NO_ANSWER,
        )
        return self._failed(story, what, now)

    def _failed(self, story: Story, what: NotDelivered, now: Moment) -> bool:
        told = story.told.get(what.outlet)
        outlet = self.outlets.get(what.outlet)
        if told is None or outlet is None or told.n != what.n or not told.waits:
            return False
        final = what.withheld or what.absent
        told.attempts += not final
        if not final and told.attempts < outlet.attempts_max:
            pause_s = min(outlet.retry_s_max, outlet.retry_s_min * 2 ** (told.attempts - 1))
            timer = Timer(Kind.RETRY, what.alarm_id, what.outlet, what.n)
            self._timers.set(now.mono + pause_s, timer)
            return False
        told.done, told.failed = what.n, True
        action = NotificationAction.WITHHELD if what.withheld else NotificationAction.FAILED
        self._count(what.outlet, action)
        self._note(story, action, what.outlet, now.at_us, n=what.n, reason=what.reason)
        if not final:
            self._fails(what.outlet, what.reason)
        return True

    def retry(self, story: Story, name: str, n: int) -> None:
        """The pause after a failure is over."""
        told = story.told.get(name)
        if told is not None and told.n == n and told.waits:
            self._put(story, name, told)

    def answered(self, story: Story | None, what: Answered, now: Moment) -> bool:
        """A screen shows it, or somebody has read it; whether that was news."""
        if what.outlet not in self.outlets:
            return False
        self._works(what.outlet)
        told = story.told.get(what.outlet) if story is not None else None
        if story is None or told is None or what.n != told.n or what.seen <= told.seen:
            return False
        told.seen, told.done, told.failed = what.seen, told.n, False
        told.received = max(told.received, what.n)
        action = _SHOWN[what.seen]
        self._count(what.outlet, action)
        self._note(story, action, what.outlet, now.at_us, n=what.n, by=what.by)
        return True

    def summarised(self, name: str, arrived: bool) -> tuple[str, ...]:
        """A summary came, or did not come, to an outlet: which alarms were in it."""
        queue = self.queues.get(name)
        told = queue.settle_summary(arrived=arrived) if queue is not None else ()
        if arrived and told:
            self._count(name, NotificationAction.SUMMARISED, len(told))
            self._works(name)
        return told

    # -- whether outlets do their work

    def heard(self, name: str, alive: bool, shows: bool, reason: str) -> None:
        """A sign of life, or that there is none."""
        standing, outlet = self.standing.get(name), self.outlets.get(name)
        if standing is None or outlet is None:
            return
        if not alive:
            standing.missed += 1
            if standing.missed >= MISSED_HEARTBEATS:
                self._fails(name, reason)
            return
        standing.missed = 0
        if shows or outlet.expects == "received":
            self._works(name)

    def _works(self, name: str) -> None:
        standing = self.standing[name]
        standing.failing, standing.worked, standing.missed = False, True, 0

    def _fails(self, name: str, reason: str) -> None:
        standing = self.standing[name]
        standing.failing, standing.reason = True, reason

    def _settle(self, name: str, alarm_id: str) -> None:
        queue = self.queues.get(name)
        if queue is not None:
            queue.settle(alarm_id)
            self._hooks.work(name)

    def _count(self, name: str, action: NotificationAction, n: int = 1) -> None:
        self._counters.add("notifications", name, action.name.lower(), n=n)
