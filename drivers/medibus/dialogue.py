"""One opening of a device's link: messages, session, mapping, curves."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Dialogue, Event, Malformed, Missed, Moment, Offline, Online, Said
from drivers.medibus import replies
from drivers.medibus.codec import Code, Command, Damage, Decoder, Realtime, Response
from drivers.medibus.config import MedibusPort
from drivers.medibus.curves import Curve, Streams, plan
from drivers.medibus.mapping import NUMBERS, Mapper
from drivers.medibus.realtime import Lost, StreamDecoder
from drivers.medibus.session import Answered, CurvesChanged, Down, Session, Unanswered, Up
from drivers.medibus.session import Event as SessionEvent
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Provenance

OUTPUT_MAX = 32
"""Messages held while the device wants to be sent nothing; beyond it, the newest are dropped."""
SUSPENDED_S_MAX = 3.0
"""A DC3 that was noise must not silence us until the device's time-out."""


def dialogues(bound: MedibusPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a device's dialogues."""
    del rng

    def dialogue_with(device: Device) -> MedibusDialogue:
        return MedibusDialogue(bound, Mapper(device, provenance, bound.zone()))

    return dialogue_with


class MedibusDialogue(Dialogue):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, bound: MedibusPort, mapper: Mapper) -> None:
        super().__init__()
        self._session = Session(bound.poll_s, curves=bound.curves)
        self._mapper = mapper
        self._decoder = Decoder()
        self._realtime = StreamDecoder()
        self._streams = Streams(())
        self._wanted: tuple[Curve, ...] = ()
        """Asked for, and not yet granted."""
        self._unknown = 0
        self._held: list[bytes] = []
        self._suspended_s: float | None = None
        """Since when the device wants to be sent nothing."""

    def begin(self, now: Moment) -> Iterable[Event]:
        """Initialise."""
        return self._events(self._session.begin(now.monotonic_s), now)

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._decoder.feed(data):
            match found:
                case Realtime(stream):
                    yield from self._curves(stream, now)
                case Damage(reason, sample, command):
                    if command:
                        self._session.corrupt()
                    yield Malformed(reason, sample)
                case Command():
                    yield from self._events(self._session.command(found, now.monotonic_s), now)
                case Response():
                    yield from self._events(self._session.response(found, now.monotonic_s), now)
        if not self._decoder.suspended:
            self._suspended_s = None
        elif self._suspended_s is None:
            self._suspended_s = now.monotonic_s
        self._say()

    def deadline(self) -> float | None:
        """The session's, or when we speak again."""
        if self._suspended_s is None:
            return self._session.deadline()
        return min(self._session.deadline(), self._suspended_s + SUSPENDED_S_MAX)

    def tick(self, now: Moment) -> Iterable[Event]:
        """Do what is due."""
        since = self._suspended_s
        if since is not None and now.monotonic_s >= since + SUSPENDED_S_MAX:
            self._decoder.suspended, self._suspended_s = False, None
        return self._events(self._session.tick(now.monotonic_s), now)

    def excuse(self, now: Moment) -> None:
        """See the session's."""
        self._session.excuse(now.monotonic_s)

    def link_down(self, now: Moment) -> Iterator[Event]:
        """What was collected of the curves is not lost with the link."""
        waves = self._mapper.waves(self._streams.rest(now.monotonic_s, now.wall_us), now.wall_us)
        if waves:
            yield Said(waves)

    def leave(self, now: Moment) -> Iterable[Event]:
        """Say goodbye."""
        del now
        self._session.leave()
        self._say()
        return ()

    def _curves(self, stream: bytes, now: Moment) -> Iterator[Event]:
        for record in self._realtime.feed(stream):
            if isinstance(record, Lost):
                yield Malformed("curves", record.sample)
                blocks = self._streams.lose(now.monotonic_s, now.wall_us)
            else:
                self._session.heard(now.monotonic_s)
                blocks = self._streams.take(record, now.monotonic_s, now.wall_us)
            if blocks:
                yield Said(self._mapper.waves(blocks, now.wall_us))

    def _events(self, events: list[SessionEvent], now: Moment) -> Iterator[Event]:
        for event in events:
            match event:
                case Up():
                    yield Online()
                case Down(reason):
                    self._decoder.suspended = False
                    self._streams = Streams(())
                    yield Offline(reason)
                case CurvesChanged():
                    self._streams = Streams(())
                case Unanswered(code):
                    yield Missed("unanswered")
                    if code is Code.ALARMS_2:  # of an old device: it has none
                        yield Said(self._mapper.alarms(2, (), now.wall_us))
                case Answered(code, body):
                    try:
                        yield from self._answer(code, body, now)
                    except MalformedError as error:
                        yield Malformed(error.reason, body)
        if self._mapper.unknown != self._unknown:
            yield Missed("unknown_code", self._mapper.unknown - self._unknown)
            self._unknown = self._mapper.unknown
        self._say()

    def _answer(self, code: Code, body: bytes, now: Moment) -> Iterator[Event]:
        mapper, at_us = self._mapper, now.wall_us
        match code:
            case Code.ALARMS_1:
                yield Said(mapper.alarms(1, replies.alarms(body), at_us))
            case Code.ALARMS_2:
                yield Said(mapper.alarms(2, replies.alarms(body), at_us))
            case Code.TEXTS:
                yield Said(mapper.texts(replies.texts(body), at_us))
            case Code.DATE_TIME:
                if body:  # else it has no clock
                    mapper.time(replies.shown_time(body), at_us)
            case Code.CURVES:
                self._streams = Streams(())
                self._wanted = plan(replies.curves(body))
                asked = [(curve.config.code, curve.multiplier) for curve in self._wanted]
                self._session.configure_curves(asked, now.monotonic_s)
            case Code.SEND_CURVES:
                self._streams = Streams(self._wanted)
            case _ if code in NUMBERS:
                wide = code is Code.SETTINGS
                width = replies.SETTING_WIDTH if wide else replies.DATA_WIDTH
                yield Said(mapper.numbers(code, replies.entries(body, width), at_us))

    def _say(self) -> None:
        self._held += self._session.output
        self._session.output.clear()
        if self._decoder.suspended:
            del self._held[OUTPUT_MAX:]
        else:
            self.output += self._held
            self._held.clear()
