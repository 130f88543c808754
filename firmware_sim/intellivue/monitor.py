"""The monitor's half of the protocol, without I/O: payloads in, payloads out.

It behaves as the Data Export guide says and the capture shows: the MDS create event is repeated
until it is confirmed, replies to extended polls come at once and then every 1.024 s, long ones
as linked results; a client that says nothing for 10 s is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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
    WaveList,
)
from drivers.intellivue.nomenclature import TICKS_PER_SECOND, Attribute, ObjectClass
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.curves import CURVES, PERIOD_TICKS, Curve
from firmware_sim.intellivue.encode import ReplyHead, SimObject
from firmware_sim.intellivue.screen import Objects, Screen
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock

REPLY_EVERY_S = 8192 / TICKS_PER_SECOND
CONTEXT_EVERY = 4
"""Periods of waves between two contexts: one wave's each second or so."""
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

    def __init__(self, request: PollRequest, now: float, ticks: int) -> None:
        self.request = request
        self.ticks = ticks
        """Of waves: where the next period begins."""
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
        self.curves: Sequence[Curve] = tuple(CURVES.values())
        """The waves that it shows."""
        self._listed: Sequence[Curve] = ()
        self.marks: dict[int, int] = {}
        """Physio id -> bits set in every sample of that wave: a fault at its sensor."""
        self._state = _State.IDLE
        self._polls: dict[int, _Poll] = {}
        self._started = clock.monotonic()
        self._heard = self._create_due = 0.0
        self._create_tries = 0
        self.sent: list[SentReply] = []
        """Take and clear it; one entry per reply with numerics."""
        self.system_id = bytes.fromhex("0009fb000001")
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

    @property
    def alone(self) -> bool:
        """Whether nobody has an association: then it announces itself on a network."""
        return self._state is _State.IDLE

    def restart(self) -> None:
        """Off and on again: associations are gone, and relative time begins anew."""
        self._end()
        self._started = self._clock.monotonic()

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
            case WaveList(labels=labels) if self._state is _State.ASSOCIATED:
                shown = {2 << 16 | each.context.physio_id: each for each in self.curves}
                self._listed = tuple(shown[label] for label in labels if label in shown)
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
        return self._replies(now)

    def show(self) -> list[bytes]:
        """Reply to every running poll now: the screen has changed."""
        now = self._clock.monotonic()
        for object_class, poll in self._polls.items():
            if object_class != ObjectClass.WAVE:
                poll.due = now
        return self._replies(now, shown=True)

    def _replies(self, now: float, *, shown: bool = False) -> list[bytes]:
        said: list[bytes] = []
        for object_class, poll in list(self._polls.items()):
            if poll.due >= poll.until:
                del self._polls[object_class]
            elif object_class == ObjectClass.WAVE:
                said += self._waves(poll, now)
            elif now >= poll.due and (shown or not self.paced):
                said += self._reply(poll.request, poll.sequence)
                poll.sequence += 1
                poll.due = max(poll.due + self.reply_every_s, now)
        return said

    def _waves(self, poll: _Poll, now: float) -> list[bytes]:
        """Every period that is over."""
        said: list[bytes] = []
        curves = self._listed or self.curves
        while now >= poll.due + PERIOD_TICKS / TICKS_PER_SECOND:
            objects = []
            turn, rest = divmod(poll.sequence, CONTEXT_EVERY)
            if not rest and curves:
                told = curves[turn % len(curves)]
                objects.append(SimObject(told.handle, encode.wave_context(told.context)))
            for curve in curves:
                physio_id = curve.context.physio_id
                mark = self.marks.get(physio_id, 0)
                samples = [sample | mark for sample in curve.samples(poll.ticks)]
                array = encode.sample_array(physio_id, 0, samples)
                objects.append(SimObject(curve.handle, {Attribute.SAMPLES: array}))
            said += self._said(poll.request, poll.sequence, poll.ticks, objects)
            poll.sequence += 1
            poll.ticks = (poll.ticks + PERIOD_TICKS) & 0xFFFFFFFF
            poll.due += PERIOD_TICKS / TICKS_PER_SECOND
        return said

    def unplugged(self) -> None:
        """The line is gone: the association ends on this side too."""
        self._end()

    def _end(self) -> None:
        self._state = _State.IDLE
        self._listed = ()
        self._polls.clear()
        self.polled.clear()

    def _announce(self) -> list[bytes]:
        self._create_tries += 1
        self._create_due = self._clock.monotonic() + CREATE_EVERY_S
        return [encode.create_event(1, self.ticks(), self._mds())]

    def _mds(self) -> dict[int, bytes]:
        return encode.mds_attributes(self.ticks(), self._wall(), self._bed, self.system_id)

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
        self._polls[request.object_class] = _Poll(request, now, self.ticks())
        return self._replies(now)

    def _reply(self, request: PollRequest, sequence: int) -> list[bytes]:
        return self._said(request, sequence, self.ticks(), self._polled(request.object_class))

    def _said(
        self, request: PollRequest, sequence: int, ticks: int, objects: Sequence[SimObject]
    ) -> list[bytes]:
        head = ReplyHead(
            request.invoke_id,
            request.poll_number,
            request.extended,
            sequence,
            ticks,
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
