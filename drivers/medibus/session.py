"""What is asked of a device when, and what its own commands get: without I/O, times as arguments.

Initialise, ask who it is, ask which curves it has and have some of them sent, then poll: one
command at a time, each answered within :data:`ANSWER_S` or asked once more. What stays unanswered,
or is answered as corrupt, is passed over: a device answers what it does not know with an echo, an
old one not at all. Ten seconds without anything valid end the conversation (protocol definition,
"Time-Out"); then it begins anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from drivers.medibus import requests
from drivers.medibus.codec import Code, Command, Response

ANSWER_S: Final = 3.0
TRIES_MAX: Final = 2
SILENCE_S: Final = 10.0
"""The protocol's time-out, of both sides."""
KEEP_ALIVE_S: Final = 2.0
"""Without a command of ours: a NOP, so that the device's time-out does not pass."""


class Phase(Enum):
    INITIALISING = "initialising"
    IDENTIFYING = "identifying"
    POLLING = "polling"


class Up(NamedTuple):
    """The device has said who it is."""


class Down(NamedTuple):
    """The conversation has ended; a new one begins by itself."""

    reason: str


class Answered(NamedTuple):
    """Something that was asked."""

    code: Code
    body: bytes


class CurvesChanged(NamedTuple):
    """What comes of curves is not what was asked for any more; they are asked for anew."""


class Unanswered(NamedTuple):
    """Something that was asked and is passed over now."""

    code: Code


Event = Up | Down | Answered | CurvesChanged | Unanswered


class Session:
    """One conversation after the other, for as long as the link is up."""

    def __init__(self, poll_s: float, *, curves: bool) -> None:
        self.phase = Phase.INITIALISING
        self.output: list[bytes] = []
        """To be sent, in order; taken by whoever calls."""
        self._poll_s = poll_s
        self._curves = curves
        self._queue: deque[Code] = deque()
        self._asked: Code | None = None
        self._request = b""
        self._tries = 0
        self._answer_by = 0.0
        self._said_s = 0.0
        self._cycle_s = 0.0
        self._seldom = 0
        self._count = 0
        """Of the curves that were asked for."""
        self._heard_s = 0.0

    def begin(self, now: float) -> list[Event]:
        """The link is up."""
        self.phase = Phase.INITIALISING
        self._queue.clear()
        self._heard_s = now
        self._ask(Code.INITIALISE, requests.initialise(), now)
        return []

    def leave(self) -> None:
        """Say goodbye; nothing is awaited."""
        if self.phase is not Phase.INITIALISING:
            self.output.append(requests.stop())

    def excuse(self, now: float) -> None:
        """We did not listen until now."""
        self._heard_s = now
        if self._asked is not None:
            self._answer_by = now + ANSWER_S

    def heard(self, now: float) -> None:
        """Something valid came, a curve's record perhaps."""
        self._heard_s = now

    def deadline(self) -> float:
        """When :meth:`tick` is due."""
        if self.phase is Phase.INITIALISING:
            return self._answer_by
        if self._asked is not None:
            wait = self._answer_by
        else:
            wait = min(self._cycle_s + self._poll_s, self._said_s + KEEP_ALIVE_S)
        return min(wait, self._heard_s + SILENCE_S)

    def tick(self, now: float) -> list[Event]:
        """Do what is due."""
        if now >= self._heard_s + SILENCE_S and self.phase is not Phase.INITIALISING:
            return [Down("silent"), *self.begin(now)]
        if self._asked is not None:
            return self._overdue(now) if now >= self._answer_by else []
        if now >= self._cycle_s + self._poll_s:
            self._begin_cycle(now)
        elif now >= self._said_s + KEEP_ALIVE_S:
            self._ask(Code.NO_OPERATION, requests.no_operation(), now)
        return []

    # The device's answers

    def response(self, response: Response, now: float) -> list[Event]:
        """Take an answer, to what was asked last or to something before."""
        self._heard_s = now
        if response.code == Code.CORRUPT:
            return self._overdue(now) if self._asked is not None else []
        try:
            code = Code(response.code)
        except ValueError:
            return []
        events: list[Event] = []
        expected = code is self._asked
        if expected:
            self._asked = None
        if code in requests.POLLS or (expected and code in (Code.CURVES, Code.SEND_CURVES)):
            events.append(Answered(code, response.body))
        if expected:
            events += self._go_on(code, now)
        return events

    def configure_curves(self, wanted: Sequence[tuple[int, int]], now: float) -> None:
        """Have these curves sent: the answer to what ``Answered(CURVES)`` told."""
        if wanted and self._asked is None:
            self._count = len(wanted)
            self._ask(Code.SEND_CURVES, requests.send_curves(wanted), now)

    def _go_on(self, code: Code, now: float) -> list[Event]:
        events: list[Event] = []
        match code:
            case Code.INITIALISE:
                self.phase = Phase.IDENTIFYING
                self._ask(Code.IDENTIFY, requests.identify(), now)
            case Code.IDENTIFY:
                events.append(Up())
                self._poll(now)
            case Code.SEND_CURVES:
                self.output.append(requests.enable_curves(self._count))
                self._next(now)
            case Code.CURVES:
                pass  # configure_curves asks, or the next tick does
            case _:
                self._next(now)
        return events

    def _poll(self, now: float) -> None:
        """Begin to poll, with everything at once for the first time."""
        self.phase = Phase.POLLING
        self._cycle_s = now
        self._queue.extend((*requests.CYCLE, *requests.SELDOM))
        if self._curves:
            self._queue.appendleft(Code.CURVES)
        self._next(now)

    def _begin_cycle(self, now: float) -> None:
        self._cycle_s = now
        if not self._queue:
            seldom = requests.SELDOM[self._seldom % len(requests.SELDOM)]
            self._seldom += 1
            self._queue.extend((*requests.CYCLE, seldom))
        self._next(now)

    def _next(self, now: float) -> None:
        if self._queue and self._asked is None:
            code = self._queue.popleft()
            curves = code is Code.CURVES
            self._ask(code, requests.request_curves() if curves else requests.poll(code), now)

    def _ask(self, code: Code, request: bytes, now: float) -> None:
        self._asked, self._request, self._tries = code, request, 1
        self._send(now)

    def _send(self, now: float) -> None:
        self._answer_by = now + ANSWER_S
        self._said_s = now
        self.output.append(self._request)

    def _overdue(self, now: float) -> list[Event]:
        """No answer, or one that says that the question was damaged."""
        assert self._asked is not None
        if self._tries < TRIES_MAX or self.phase is Phase.INITIALISING:
            self._tries += 1
            self._send(now)
            return []
        code, self._asked = self._asked, None
        if self.phase is Phase.IDENTIFYING:
            self.begin(now)
            return []
        self._next(now)
        return [Unanswered(code)]

    # The device's commands

    def command(self, command: Command, now: float) -> list[Event]:
        """Answer it; what it means for us follows."""
        self._heard_s = now
        identify = command.code == Code.IDENTIFY
        self.output.append(requests.own_identity() if identify else requests.echo(command))
        polling = self.phase is Phase.POLLING
        match command.code:
            case Code.INITIALISE if self.phase is not Phase.INITIALISING:
                # It was switched off and on: what it was told to send is forgotten.
                self.phase, self._asked = Phase.IDENTIFYING, None
                self._queue.clear()
                self._ask(Code.IDENTIFY, requests.identify(), now)
                return [Down("restarted")] if polling else []
            case Code.STOP if self.phase is not Phase.INITIALISING:
                self.begin(now)
                self.output.pop()  # it asked for silence: initialise when the answer is overdue
                return [Down("stopped")]
            case Code.CURVES_CHANGED if polling and self._curves:
                self._again(Code.CURVES, now)
                return [CurvesChanged()]
            case Code.TIME_CHANGED if polling:
                self._again(Code.DATE_TIME, now)
        return []

    def corrupt(self) -> None:
        """A command of the device's was damaged."""
        self.output.append(requests.corrupt())

    def _again(self, code: Code, now: float) -> None:
        if code not in self._queue:
            self._queue.appendleft(code)
        self._next(now)
