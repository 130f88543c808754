"""One connection to one reader, without I/O: see :mod:`drivers.llrp.session` for what follows what.

Rules:

- A connection is given up when a question is not answered within ``answer_s``, when nothing is
  heard for ``SILENT_PERIODS`` keep-alives, or when the stream can't be understood any more.
- What a reader says by itself is taken whenever it comes, once the reader has greeted us.
- What was not seen is said when it ends: LOST with the link, STOPPED when the ROSpec no longer
  runs, RESUMED with the span. The times of it outlive a connection in :class:`Past`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final, Unpack

from llrpkit.protocol import LLRPMessage, enums, messages, params

from drivers.base.dialogue import (
    Dialogue,
    Event,
    HangUp,
    Malformed,
    Missed,
    Moment,
    Offline,
    Online,
    Said,
)
from drivers.llrp.codec import Damage, Decoder, encode
from drivers.llrp.interview import ANSWERS, Interview
from drivers.llrp.mapping import About, Mapper
from drivers.llrp.session import Input, State, follow
from drivers.llrp.settings import ReaderSettings
from gateway.domain.statements import Statement
from gateway.domain.tags import ReaderCondition

SILENT_PERIODS: Final = 3
CHECK_S: Final = 30.0
"""Between two questions whether the ROSpec still runs."""
IDLE_S: Final = 1.0
IDLE_MAX: Final = 5
"""A ROSpec that begins again and again is at rest for milliseconds. One that is found so, and has
reported nothing, is asked for again after ``IDLE_S``, and given up after so many times."""
SOON_S: Final = 5.0
"""A ROSpec that ends within so long after it began would do so for ever."""
REST_S: Final = 60.0
"""Before a reader that refuses is tried anew: somebody has to change something."""
MESSAGE_ID_MAX: Final = 0xFFFFFFFF


class Past:
    """What is known of a reader beyond one connection."""

    def __init__(self, heard_us: int = 0) -> None:
        self.heard_us = heard_us
        """Until when it was known to read, by the gateway's wall clock; 0: never."""


class ReaderDialogue(Dialogue):
    """See the module."""

    def __init__(
        self, settings: ReaderSettings, mapper: Mapper, past: Past, first_id: int = 1
    ) -> None:
        """``first_id`` is the number of our first question."""
        super().__init__()
        self._settings, self._mapper, self._past = settings, mapper, past
        self._decoder = Decoder()
        self._interview = Interview(settings)
        self._state = State.GREETING
        self._reading = False
        self._began_s = 0.0
        self._told_us = 0
        """When the reader last told all that it had seen: in its last report."""
        self._proved_us = 0
        """When it was last certain that the ROSpec runs."""
        self._seen_us = 0
        """When the newest tag was seen that the reader has told of."""
        self._idle = 0
        """Checks in a row that found the ROSpec between two of its runs, without a report."""
        self._next_id = first_id
        self._asked_id = self._released_id = 0
        self._due_s = 0.0
        """When the answer, or the next sign of life, is due."""
        self._timer_s = 0.0
        """When there is something to do in READING or REFUSED."""
        self._why = ""
        self._found: list[Event] = []

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def left(self) -> bool:
        """See :class:`Dialogue`."""
        return self._state is not State.CLOSING

    def begin(self, now: Moment) -> Iterable[Event]:
        """Wait for the reader's greeting."""
        self._wait(now)
        return self._take()

    def receive(self, data: bytes, now: Moment) -> Iterable[Event]:
        """See :class:`Dialogue`."""
        for found in self._decoder.feed(data):
            if self._state is State.GONE:
                break
            if not isinstance(found, Damage):
                self._message(found, now)
                continue
            self._found.append(Malformed(found.reason, found.sample))
            if found.fatal:
                self._step(Input.TURNED_AWAY, now, "unreadable")
        return self._take()

    def deadline(self) -> float | None:
        """See :class:`Dialogue`."""
        if self._state is State.GONE:
            return None
        if self._state in (State.READING, State.REFUSED):
            return min(self._due_s, self._timer_s)
        return self._due_s

    def tick(self, now: Moment) -> Iterable[Event]:
        """See :class:`Dialogue`."""
        if now.monotonic_s >= self._due_s:
            self._step(Input.OVERDUE, now, "silent")
        elif now.monotonic_s >= self._timer_s:
            event = Input.RESTED if self._state is State.REFUSED else Input.DUE
            self._step(event, now, "refused")
        return self._take()

    def excuse(self, now: Moment) -> None:
        """See :class:`Dialogue`."""
        self._wait(now)

    def link_down(self, now: Moment) -> Iterable[Event]:
        """See :class:`Dialogue`."""
        self._state = State.GONE
        if self._reading:
            self._reading = False
            self._condition(ReaderCondition.LOST, now, from_us=self._past.heard_us)
        return self._take()

    def leave(self, now: Moment) -> Iterable[Event]:
        """See :class:`Dialogue`."""
        self._step(Input.LEFT, now)
        return self._take()

    # What the reader says

    def _message(self, message: LLRPMessage, now: Moment) -> None:
        greeted = self._state is not State.GREETING
        if greeted:
            self._heard(now)
        match message:
            case messages.READER_EVENT_NOTIFICATION():
                self._event(message.reader_event_notification_data, now)
            case messages.KEEPALIVE() if greeted:
                self.output.append(encode(messages.KEEPALIVE_ACK(), message.message_id))
                if self._reading:
                    self._condition(ReaderCondition.HEARD, now, from_us=self._past.heard_us)
            case messages.RO_ACCESS_REPORT() if greeted:
                self._told_us = self._proved_us = now.wall_us
                self._idle = 0
                self._heard(now)
                reads = tuple(self._mapper.reads(message, now))
                seen = [each.placed_us(read.last_us) for each in reads for read in each.reads]
                self._seen_us = max(seen, default=self._seen_us)
                self._say(reads)
                self._missed("epc", self._mapper.left_out)
                self._mapper.left_out = 0
            case messages.ERROR_MESSAGE() if greeted and message.message_id == self._released_id:
                pass  # a reader that does not know ENABLE_EVENTS_AND_REPORTS holds nothing
            case _ if greeted and message.message_id == self._asked_id:
                self._answer(message, now)
            case _:
                self._missed("unexpected", 1)

    def _event(self, event: params.ReaderEventNotificationData, now: Moment) -> None:
        if event.connection_attempt_event is not None:
            self._attempt(event.connection_attempt_event.status, now)
        if self._state in (State.GREETING, State.GONE):
            return
        self._mapper.hear(event, now)
        change = self._mapper.change(event, now)
        if change is not None:
            self._interview.heard_input(change.port, high=change.high)
            self._say((change,))
        states = tuple(self._mapper.conditions(event, min(self._seen_us, now.wall_us), now))
        for state in states:
            if state.antenna:
                up = state.condition is ReaderCondition.ANTENNA_UP
                self._interview.heard_antenna(state.antenna, up=up)
        self._say(states)
        ended = event.ro_spec_event
        if (
            ended is not None
            and ended.ro_spec_id == self._interview.spec_id
            and ended.event_type != enums.ROSpecEventType.Start_Of_ROSpec
        ):
            self._proved_us = now.wall_us
            self._step(Input.ENDED, now)
        if event.connection_close_event is not None:
            self._step(Input.TURNED_AWAY, now, "closed")

    def _attempt(self, status: int, now: Moment) -> None:
        """ConnectionAttemptEvent: the greeting, or somebody else who wants our reader."""
        kinds = enums.ConnectionAttemptStatusType
        if status == kinds.Another_Connection_Attempted:
            text = "another client tried to connect"
            self._condition(ReaderCondition.EXCEPTION, now, text=text)
        elif self._state is not State.GREETING:
            self._missed("unexpected", 1)
        elif status == kinds.Success:
            self._step(Input.GREETED, now)
        elif status == kinds.Failed_Reason_Other_Than_A_Connection_Already_Exists:
            self._step(Input.TURNED_AWAY, now, "turned_away")
        else:
            self._step(Input.TURNED_AWAY, now, "busy")

    def _heard(self, now: Moment) -> None:
        if self._reading:
            # What it has seen since its last report it has not told yet, and may never tell.
            untold_us = self._settings.report_ms * 1000
            self._past.heard_us = max(self._told_us, now.wall_us - untold_us)
        if self._state is State.READING:
            self._wait(now)

    def _answer(self, message: LLRPMessage, now: Moment) -> None:
        answer = self._interview.answer(self._state, message)
        if answer is None:
            self._missed("unexpected", 1)
            return
        event = answer.meaning
        if self._state is State.CHECKING and event is Input.KEPT:
            self._idle = self._idle + 1 if self._interview.idle else 0
            if self._idle > IDLE_MAX:
                self._idle, event = 0, Input.ANSWERED
        if self._state is State.CHECKING and event is Input.ANSWERED:
            self._reading = False
            self._past.heard_us = self._proved_us
            if now.monotonic_s < self._began_s + SOON_S:
                event = Input.TOO_SOON
            else:
                self._condition(ReaderCondition.STOPPED, now, from_us=self._proved_us)
        self._step(
            event, now, "its ROSpec ends at once" if event is Input.TOO_SOON else answer.text
        )

    # What follows

    def _step(self, event: Input, now: Moment, why: str = "") -> None:
        before, after = self._state, follow(self._state, event)
        if after is None:
            return
        self._state, self._why = after, why
        self._enter(before, after, now)
        self._wait(now)

    def _enter(self, before: State, after: State, now: Moment) -> None:
        match after:
            case State.READING:
                self._timer_s = now.monotonic_s + (IDLE_S if self._idle else CHECK_S)
                if not self._idle:
                    self._proved_us = now.wall_us
                if not self._reading:
                    self._begin_reading(before, now)
            case State.REFUSED:
                self._timer_s = now.monotonic_s + REST_S
                self._reading = False
                from_us = self._past.heard_us
                self._condition(ReaderCondition.STOPPED, now, from_us=from_us, text=self._why)
                self._found.append(Offline("refused"))
            case State.GONE:
                if before is not State.CLOSING and self._why:
                    self._found.append(HangUp(self._why))
            case State.CLOSING if not self._interview.holds and self._interview.spec_id:
                # Nobody would hear what it goes on to read.
                self._ask(messages.DELETE_ROSPEC(ro_spec_id=self._interview.spec_id))
                self._ask(self._interview.question(after))
            case State.CLEARING:
                self._release()
                self._ask(self._interview.question(after))
            case _ if after in ANSWERS:
                self._ask(self._interview.question(after))
            case _:
                raise AssertionError(after)

    def _begin_reading(self, before: State, now: Moment) -> None:
        """It reads: say so, and what is known of it, before anything else."""
        kept = before is State.SPECS
        past, self._past.heard_us = self._past.heard_us, now.wall_us
        self._reading, self._began_s, self._told_us = True, now.monotonic_s, now.wall_us
        self._seen_us = past or now.wall_us
        self._found.append(Online())
        if past:
            held = kept and self._interview.was_holding
            resumed = ReaderCondition.RESUMED
            self._condition(resumed, now, from_us=past, to_us=now.wall_us, held=held)
        else:
            self._condition(ReaderCondition.CONNECTED, now)
        antennas = sorted(self._interview.antennas.items())
        self._say(tuple(self._mapper.antenna(each, now, up=up) for each, up in antennas))
        inputs = sorted(self._interview.inputs.items())
        self._say(tuple(self._mapper.asked(port, now, high=high) for port, high in inputs))
        if kept:
            self._release()

    def _release(self) -> None:
        """Let the reader tell what it held, and what is to come."""
        if self._interview.abilities.holds:
            self._ask(messages.ENABLE_EVENTS_AND_REPORTS())
            self._released_id = self._asked_id

    def _ask(self, message: LLRPMessage) -> None:
        self._asked_id = self._next_id
        self._next_id = self._next_id % MESSAGE_ID_MAX + 1
        self.output.append(encode(message, self._asked_id))

    def _wait(self, now: Moment) -> None:
        """Begin the wait of this state."""
        match self._state:
            case State.READING:
                wait_s = SILENT_PERIODS * self._settings.keepalive_s
            case State.REFUSED:
                wait_s = inf  # it may have been told of no keep-alives
            case _:
                wait_s = self._settings.answer_s
        self._due_s = now.monotonic_s + wait_s

    # Events

    def _condition(self, condition: ReaderCondition, now: Moment, **about: Unpack[About]) -> None:
        self._say((self._mapper.state(condition, now, **about),))

    def _say(self, statements: Sequence[Statement]) -> None:
        if statements:
            self._found.append(Said(statements))

    def _missed(self, reason: str, times: int) -> None:
        if times:
            self._found.append(Missed(reason, times))

    def _take(self) -> Iterable[Event]:
        found, self._found = self._found, []
        return found
