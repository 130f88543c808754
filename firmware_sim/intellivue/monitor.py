"""The monitor's half of the protocol, without I/O: payloads in, payloads out.

It behaves as the Data Export guide says and the capture shows: the MDS create event is repeated
until it is confirmed, replies to extended polls come at once and then every 1.024 s, long ones
as linked results; a client that says nothing for 10 s is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

from drivers.intellivue import messages, requests
from drivers.intellivue.attributes import AbsoluteTime
from drivers.intellivue.messages import (
    AssociationRequest,
    CreateConfirmation,
    Message,
    PollRequest,
    ReleaseRequest,
)
from drivers.intellivue.nomenclature import TICKS_PER_SECOND, ObjectClass
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.encode import ReplyHead, SimObject
from firmware_sim.intellivue.screen import Objects, Screen
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock

REPLY_EVERY_S = 8192 / TICKS_PER_SECOND
CREATE_EVERY_S = 2.0
CREATE_TRIES_MAX = 5
CLIENT_SILENCE_S = 10.0
OBJECTS_PER_PART = 10
NO_SUCH_ACTION = 9


class _State(Enum):
    IDLE = 0
    ANNOUNCED = 1
    ASSOCIATED = 2


class _Poll:
    """An extended poll that runs."""

    def __init__(self, request: PollRequest, now: float) -> None:
        self.request = request
        self.until = now + request.period_ticks / TICKS_PER_SECOND
        self.due = now
        self.sequence = 0


class SentReply(NamedTuple):
    """What was said in one reply with numerics, for the account of what was sent."""

    at_us: int
    codes: tuple[int, ...]
    values: tuple[float, ...]


class Monitor:
    """One simulated monitor.

    Args:
        screen: what it shows when a reply is made.
        clock: the monitor's own.
        bed: its bed label.
    """

    def __init__(self, screen: Callable[[], Screen], clock: Clock, bed: str = "") -> None:
        self._screen = screen
        self._clock = clock
        self._bed = bed
        self._objects = Objects()
        self._state = _State.IDLE
        self._polls: dict[int, _Poll] = {}
        self._started = clock.monotonic()
        self._heard = self._create_due = 0.0
        self._create_tries = 0
        self.sent: list[SentReply] = []
        """Take and clear it; one entry per reply with numerics."""
        # Faults, which may be switched at any time.
        self.busy = False
        """Refuse associations: another client has it."""
        self.deaf_to_extended_polls = False
        """An old software revision, which knows single polls only."""
        self.reply_every_s = REPLY_EVERY_S
        self.paced = False
        """Replies of extended polls come with :meth:`show`, not by time."""
        self.polled = asyncio.Event()
        """Set while a client has the association and asks for numerics."""

    def ticks(self) -> int:
        """Relative time."""
        return round((self._clock.monotonic() - self._started) * TICKS_PER_SECOND) & 0xFFFFFFFF

    def receive(self, payload: bytes) -> list[bytes]:
        """Take one payload; what can't be decoded is ignored, as a monitor does."""
        try:
            message = messages.decode(payload)
        except MalformedError:
            return []
        self._heard = self._clock.monotonic()
        return self._answer(message)

    def _answer(self, message: Message) -> list[bytes]:
        match message:
            case AssociationRequest(information):
                if self.busy:
                    return [encode.REFUSE]
                self._end()
                self._state = _State.ANNOUNCED
                self._create_tries = 0
                answer = encode.accept(
                    information.minimum_poll_period, information.extended_options
                )
                return [answer, *self._announce()]
            case ReleaseRequest() if self._state is not _State.IDLE:
                self._end()
                return [requests.released()]
            case CreateConfirmation() if self._state is _State.ANNOUNCED:
                self._state = _State.ASSOCIATED
            case PollRequest() if self._state is _State.ASSOCIATED:
                return self._poll(message)
        return []

    def tick(self) -> list[bytes]:
        """What is due now: create events again, replies, an abort."""
        now = self._clock.monotonic()
        if self._state is _State.IDLE:
            return []
        if now - self._heard > CLIENT_SILENCE_S:
            self._end()
            return [encode.ABORT]
        if self._state is _State.ANNOUNCED:
            if now < self._create_due:
                return []
            if self._create_tries >= CREATE_TRIES_MAX:
                self._end()
                return [encode.ABORT]
            return self._announce()
        return [] if self.paced else self._replies(now)

    def show(self) -> list[bytes]:
        """Reply to every running poll now: the screen has changed."""
        now = self._clock.monotonic()
        for poll in self._polls.values():
            poll.due = now
        return self._replies(now)

    def _replies(self, now: float) -> list[bytes]:
        said: list[bytes] = []
        for object_class, poll in list(self._polls.items()):
            if poll.due >= poll.until:
                del self._polls[object_class]
            elif now >= poll.due:
                said += self._reply(poll.request, poll.sequence)
                poll.sequence += 1
                poll.due = max(poll.due + self.reply_every_s, now)
        return said

    def unplugged(self) -> None:
        """The line is gone: the association ends on this side too."""
        self._end()

    def _end(self) -> None:
        self._state = _State.IDLE
        self._polls.clear()
        self.polled.clear()

    def _announce(self) -> list[bytes]:
        self._create_tries += 1
        self._create_due = self._clock.monotonic() + CREATE_EVERY_S
        return [encode.create_event(1, self.ticks(), self._mds())]

    def _mds(self) -> dict[int, bytes]:
        return encode.mds_attributes(self.ticks(), self._wall(), self._bed)

    def _wall(self) -> AbsoluteTime:
        t = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
        return AbsoluteTime(t.year, t.month, t.day, t.hour, t.minute, t.second, 0)

    def _poll(self, request: PollRequest) -> list[bytes]:
        if request.object_class == ObjectClass.NUMERIC:
            self.polled.set()
        if not request.extended:
            return self._reply(request, 0)
        if self.deaf_to_extended_polls:
            return [encode.remote_error(request.invoke_id, NO_SUCH_ACTION)]
        now = self._clock.monotonic()
        running = self._polls.get(request.object_class)
        if running is not None and running.until > now:
            running.until = now + request.period_ticks / TICKS_PER_SECOND
            return []
        self._polls[request.object_class] = _Poll(request, now)
        return [] if self.paced else self._replies(now)

    def _reply(self, request: PollRequest, sequence: int) -> list[bytes]:
        objects = self._polled(request.object_class)
        head = ReplyHead(
            request.invoke_id,
            request.poll_number,
            request.extended,
            sequence,
            self.ticks(),
            request.object_class,
            request.group,
        )
        return encode.poll_reply(head, objects, -(-len(objects) // OBJECTS_PER_PART))

    def _polled(self, object_class: int) -> list[SimObject]:
        match object_class:
            case ObjectClass.MDS:
                return [SimObject(0, self._mds())]
            case ObjectClass.NUMERIC:
                screen = self._screen()
                self.sent.append(
                    SentReply(
                        self._clock.now_us(),
                        tuple(screen.values),
                        tuple(screen.values.values()),
                    )
                )
                return self._objects.numerics(screen, self._wall())
            case ObjectClass.ENUMERATION:
                return self._objects.enumerations(self._screen())
            case ObjectClass.ALERT_MONITOR:
                return self._objects.alert_monitor(self._screen())
            case _:
                return []
