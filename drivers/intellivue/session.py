"""The client's side of an association, as a table: no I/O, no clock, no randomness of its own.

Minimal exchange (Data Export guide, "Protocol Dialog")::

    LINK_UP -> release (of what an earlier gateway may have left), association request
    ACCEPT  -> wait for the MDS create event
    CREATE  -> confirm it, arm the extended polls of numerics, enumerations and alarms
    RESULT  -> deliver; polls are armed again before their period ends; a single poll of the
               MDS object keeps the association alive and reads the monitor's clock
    ERROR   -> the monitor does not know extended polls: poll that class singly instead

Rules: every (phase, input) is in :data:`~drivers.intellivue.table.TABLE`; whatever the peer
sends, the session ends in a phase that has a deadline or waits for the link; it says only what
:mod:`drivers.intellivue.requests` can build. Times are seconds of a monotonic clock that the
caller passes in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import NamedTuple

from drivers.intellivue import requests
from drivers.intellivue.attributes import Attributes
from drivers.intellivue.messages import (
    Abort,
    AssociationAccept,
    AssociationRefuse,
    CreateEvent,
    Linker,
    Message,
    PollReply,
    PollResult,
    ReleaseRequest,
    ReleaseResponse,
    RemoteError,
)
from drivers.intellivue.nomenclature import TICKS_PER_SECOND, Group, ObjectClass, PollOptions
from drivers.intellivue.table import REASONS, TABLE, Effect, Input, Phase

OPTIONS = PollOptions.NUMERICS_1S | PollOptions.WAVES | PollOptions.ENUMERATIONS
"""What a real monitor was seen to accept (8C000000)."""
MINIMUM_POLL_PERIOD_TICKS = 1 * TICKS_PER_SECOND
"""Makes the monitor drop a dead association after 10 s instead of two minutes, so that a
restarted gateway is not refused for long."""


class Times(NamedTuple):
    """Waits, in seconds; and what to ask for."""

    answer_s: float = 5.0
    """For the answer to an association request."""
    create_s: float = 10.0
    """For the MDS create event after the accept."""
    silence_s: float = 10.0
    """Without any reply: the monitor itself gives up after 10 s."""
    keep_alive_s: float = 4.0
    """Between single polls of the MDS object: twice within the monitor's 10 s."""
    poll_period_s: float = 60.0
    """How long one extended poll runs; it is armed again after three quarters of it."""
    single_poll_s: float = 1.024
    """Between single polls of a class that has no extended poll: the monitor's own rhythm."""
    release_s: float = 1.0
    """For the answer to a release request."""
    waves: bool = False
    """Ask for waves, too."""
    wave_labels: tuple[int, ...] = ()
    """Which ones, the first ones first; empty: what the monitor shows."""
    rest_min_s: float = 1.0
    rest_max_s: float = 30.0


class Attached(NamedTuple):
    """The monitor announced itself and was confirmed; polls are armed."""

    attributes: Attributes


class Polled(NamedTuple):
    """A complete reply."""

    reply: PollReply


class Detached(NamedTuple):
    """An association ended, or an attempt failed (``attached`` says which).

    ``reason`` is ``link_lost``, ``stopped``, ``no_answer``, ``silent``, ``refused``,
    ``released`` or ``aborted``.
    """

    reason: str
    attached: bool


Event = Attached | Polled | Detached


class _Subject:
    """One class that is polled, and when it is to be asked next."""

    __slots__ = ("due", "extended", "group", "last_time", "number", "object_class")

    def __init__(self, number: int, object_class: ObjectClass, group: Group) -> None:
        self.number = number
        self.object_class = object_class
        self.group = group
        self.extended = True
        self.due: float = 0.0
        self.last_time = -1


_CLOCK_POLL = 100
"""Invoke id and number of the MDS poll; subjects have 1..4, and 11..14 when polled singly."""
_SINGLE = 10
_WAVE_LIST = 101
"""Invoke id of the list of waves."""


class Session:
    """One association after another over one link.

    ``output`` collects payloads to be framed and sent; take and clear it after every call.
    """

    def __init__(self, times: Times, rng: random.Random) -> None:
        self._times = times
        self._rng = rng
        self.phase = Phase.OFFLINE
        self.output: list[bytes] = []
        self._events: list[Event] = []
        self._deadline: float | None = None
        self._clock_due = 0.0
        self._failures = 0
        self._attached = False
        self._linker = Linker()
        self._subjects: tuple[_Subject, ...] = (
            _Subject(1, ObjectClass.NUMERIC, Group.OBSERVED_VALUES),
            _Subject(2, ObjectClass.ENUMERATION, Group.OBSERVED_VALUES),
            _Subject(3, ObjectClass.ALERT_MONITOR, Group.ALERT_MONITOR),
            # All groups: among its samples the monitor tells one wave's context a second.
            *([_Subject(4, ObjectClass.WAVE, Group.ALL)] if times.waves else ()),
        )
        self._effects: dict[Effect, Callable[[Message | None, float], None]] = {
            Effect.IGNORE: self._ignore,
            Effect.CONNECT: self._connect,
            Effect.AWAIT_CREATE: self._await_create,
            Effect.CONFIRM: self._confirm,
            Effect.CONFIRM_AGAIN: self._confirm_again,
            Effect.DELIVER: self._deliver,
            Effect.FALL_BACK: self._fall_back,
            Effect.REST: self._rest,
            Effect.AGREE: self._agree,
            Effect.LEAVE: self._leave,
            Effect.END: self._end,
        }

    @property
    def incomplete(self) -> int:
        """Linked replies that were dropped because a part was missing."""
        return self._linker.incomplete

    def link_up(self, now: float) -> list[Event]:
        """The port is open: begin."""
        self._failures = 0
        return self._input(Input.LINK_UP, None, now)

    def link_down(self, now: float) -> list[Event]:
        """The port is gone; nothing that was queued will be sent."""
        events = self._input(Input.LINK_DOWN, None, now)
        self.output.clear()
        return events

    def stop(self, now: float) -> list[Event]:
        """End the association; over when ``phase`` is OFFLINE."""
        return self._input(Input.STOP, None, now)

    def receive(self, message: Message, now: float) -> list[Event]:
        """Take one decoded message."""
        return self._input(_classify(message), message, now)

    def excuse(self, now: float) -> None:
        """We did not listen: the monitor's silence until ``now`` means nothing."""
        if self.phase is Phase.POLLING:
            self._deadline = now + self._times.silence_s

    def deadline(self) -> float | None:
        """When :meth:`tick` must be called next; None while nothing is awaited."""
        if self.phase is not Phase.POLLING:
            return self._deadline
        assert self._deadline is not None
        return min(self._deadline, self._clock_due, *(s.due for s in self._subjects))

    def tick(self, now: float) -> list[Event]:
        """Do what is due at ``now``."""
        if self._deadline is not None and now >= self._deadline:
            return self._input(Input.TIMEOUT, None, now)
        if self.phase is Phase.POLLING:
            self._ask(now)
        return []

    def _input(self, what: Input, message: Message | None, now: float) -> list[Event]:
        effect, after = TABLE[self.phase, what]
        if effect in (Effect.REST, Effect.AGREE, Effect.LEAVE, Effect.END):
            self._detach(what)
        self.phase = after
        self._effects[effect](message, now)
        events, self._events = self._events, []
        return events

    def _detach(self, what: Input) -> None:
        if self.phase in (Phase.RESTING, Phase.RELEASING):
            return  # that association's end was reported when the phase began
        reason = REASONS[what]
        if what is Input.TIMEOUT and self.phase is Phase.POLLING:
            reason = "silent"
        self._events.append(Detached(reason, self._attached))
        self._attached = False

    def _ignore(self, _message: Message | None, _now: float) -> None:
        """Nothing to do."""

    def _connect(self, _message: Message | None, now: float) -> None:
        self._linker.clear()
        self.output.append(requests.release())
        self.output.append(requests.associate(MINIMUM_POLL_PERIOD_TICKS, OPTIONS))
        self._deadline = now + self._times.answer_s

    def _await_create(self, _message: Message | None, now: float) -> None:
        self._deadline = now + self._times.create_s

    def _confirm(self, message: Message | None, now: float) -> None:
        assert isinstance(message, CreateEvent)
        self.output.append(requests.confirm_create(message))
        self._attached = True
        self._deadline = now + self._times.silence_s
        self._clock_due = now + self._times.keep_alive_s
        for subject in self._subjects:
            subject.extended = True
            subject.due = now
            subject.last_time = -1
        if self._times.waves and self._times.wave_labels:
            self.output.append(requests.prioritise_waves(_WAVE_LIST, self._times.wave_labels))
        self._events.append(Attached(message.attributes))
        self._ask(now)

    def _confirm_again(self, message: Message | None, _now: float) -> None:
        assert isinstance(message, CreateEvent)
        self.output.append(requests.confirm_create(message))

    def _deliver(self, message: Message | None, now: float) -> None:
        assert isinstance(message, PollResult)
        self._deadline = now + self._times.silence_s
        reply = self._linker.add(message)
        if reply is None:
            return
        self._failures = 0
        for subject in self._subjects:
            # Of waves several replies tell of one period; who maps them knows what came before.
            if subject.object_class == reply.object_class != ObjectClass.WAVE:
                if subject.last_time == reply.relative_time:
                    return  # the old and the new poll both run until the old one expires
                subject.last_time = reply.relative_time
        self._events.append(Polled(reply))

    def _fall_back(self, message: Message | None, now: float) -> None:
        assert isinstance(message, RemoteError)
        for subject in self._subjects:
            if subject.extended and subject.number == message.invoke_id:
                subject.extended = False
                # Waves are told in no other way.
                subject.due = math.inf if subject.object_class == ObjectClass.WAVE else now
        self._ask(now)

    def _rest(self, _message: Message | None, now: float) -> None:
        times = self._times
        longest = min(times.rest_max_s, times.rest_min_s * 2 ** min(self._failures, 16))
        self._failures += 1
        self._deadline = now + longest * self._rng.uniform(0.5, 1.0)

    def _agree(self, message: Message | None, now: float) -> None:
        self.output.append(requests.released())
        self._rest(message, now)

    def _leave(self, _message: Message | None, now: float) -> None:
        self.output.append(requests.release())
        self._deadline = now + self._times.release_s

    def _end(self, _message: Message | None, _now: float) -> None:
        self._deadline = None

    def _ask(self, now: float) -> None:
        """Send every poll that is due."""
        times = self._times
        for subject in self._subjects:
            if subject.due > now:
                continue
            number, what, group = subject.number, subject.object_class, subject.group
            if subject.extended:
                period = round(times.poll_period_s * TICKS_PER_SECOND)
                self.output.append(requests.extended_poll(number, number, what, group, period))
                subject.due = now + times.poll_period_s * 0.75
            else:
                number += _SINGLE
                self.output.append(requests.single_poll(number, number, what, group))
                subject.due = now + times.single_poll_s
        if self._clock_due <= now:
            self.output.append(
                requests.single_poll(
                    _CLOCK_POLL, _CLOCK_POLL, ObjectClass.MDS, Group.SYSTEM_APPLICATION
                )
            )
            self._clock_due = now + times.keep_alive_s


_INPUTS: dict[type, Input] = {
    AssociationAccept: Input.ACCEPT,
    AssociationRefuse: Input.REFUSE,
    CreateEvent: Input.CREATE,
    PollResult: Input.RESULT,
    RemoteError: Input.ERROR,
    ReleaseRequest: Input.RELEASE,
    ReleaseResponse: Input.RELEASED,
    Abort: Input.ABORT,
}


def _classify(message: Message) -> Input:
    return _INPUTS.get(type(message), Input.OTHER)
