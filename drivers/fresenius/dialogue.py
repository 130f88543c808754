"""One pump's side of a line: session, answers, mapping.

What is sent is a frame of :data:`drivers.fresenius.codec.FRAMES`, chosen by a :class:`Query` and by
the address of the configuration: nothing that the pump says becomes a part of it. What the line
itself wants (acknowledging, "is somebody there?") is the bus's.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.silence import Listening, Silence
from drivers.fresenius import replies
from drivers.fresenius.codec import (
    CORRECT,
    FRAMES,
    INCORRECT,
    TOLD,
    Damage,
    Frame,
    FrameDecoder,
    Query,
    Refused,
)
from drivers.fresenius.config import PumpPort
from drivers.fresenius.mapping import Mapper
from drivers.fresenius.session import Heard, Phase, Session
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Provenance


def dialogues(bound: PumpPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a pump's dialogues."""
    del rng
    told: set[int] = set()

    def dialogue_with(device: Device) -> PumpDialogue:
        return PumpDialogue(bound, Mapper(device, provenance, told))

    return dialogue_with


class PumpDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, bound: PumpPort, mapper: Mapper) -> None:
        super().__init__(Silence(bound.silence_s))
        self._module = bound.module
        self._mapper = mapper
        self._session = Session(bound.poll_s)
        self._decoder = FrameDecoder()
        self._unmapped = 0

    def begin(self, now: Moment) -> Iterable[Event]:
        """Open a session."""
        self._ask(self._session.begin(now.monotonic_s))
        return ()

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode, map, and ask what is next."""
        for found in self._decoder.feed(data):
            match found:
                case Frame():
                    yield from self._frame(found, now)
                case Damage(reason, sample):
                    yield Malformed(reason, sample)
                case Refused():
                    yield Missed("refused")
        if self._mapper.unmapped != self._unmapped:
            yield Missed("unknown_value", self._mapper.unmapped - self._unmapped)
            self._unmapped = self._mapper.unmapped

    def deadline(self) -> float | None:
        """The next question, or the end of our patience."""
        silence = super().deadline()
        due = self._session.deadline()
        return due if silence is None else min(due, silence)

    def tick(self, now: Moment) -> Iterable[Event]:
        """Ask what is due."""
        self._ask(self._session.tick(now.monotonic_s))
        return super().tick(now)

    def leave(self, now: Moment) -> Iterable[Event]:
        """Close the session."""
        self._ask(self._session.leave(now.monotonic_s))
        return ()

    @property
    def left(self) -> bool:
        """Whether the session is closed."""
        return self._session.phase is not Phase.LEAVING

    def _frame(self, frame: Frame, now: Moment) -> Iterator[Event]:
        if frame.head == TOLD and frame.address == self._module:
            yield from self._told(frame, now)
            return
        asked = self._session.asked
        if asked is None or frame.address != self._module or frame.head not in (CORRECT, INCORRECT):
            yield Missed("unasked")
            return
        heard = _error(frame) if frame.head == INCORRECT else Heard.GOOD
        if heard is Heard.GOOD:
            try:
                yield from self._answer(asked, frame, now)
            except MalformedError as error:
                # The question stays open: it is asked once more.
                yield Malformed(error.reason, frame.raw)
                return
        elif asked is Query.DRUG:
            self._mapper.drug = ""
        else:
            yield Missed("error")
        self._ask(self._session.heard(heard, now.monotonic_s))

    def _told(self, frame: Frame, now: Moment) -> Iterator[Event]:
        """Unasked: another system may have switched it on; values are values."""
        try:
            found = replies.told(frame.arguments)
        except MalformedError as error:
            yield Malformed(error.reason, frame.raw)
            return
        yield from self._silence.heard(now.monotonic_s)
        yield Said(self._mapper.records(found, now.wall_us))

    def _answer(self, asked: Query, frame: Frame, now: Moment) -> Iterator[Event]:
        match asked:
            case Query.VARIABLES | Query.RATE_AND_VOLUME:
                found = replies.variables(asked, frame.arguments)
                yield from self._silence.heard(now.monotonic_s)
                yield Said(self._mapper.records(found, now.wall_us))
            case Query.DRUG:
                self._mapper.drug = replies.drug(frame.arguments)
            case Query.OPEN | Query.CLOSE:
                pass

    def _ask(self, query: Query | None) -> None:
        if query is not None:
            self.output.append(FRAMES[query, self._module])


def _error(frame: Frame) -> Heard:
    if frame.arguments in replies.NOT_USED:
        return Heard.UNKNOWN
    return Heard.CLOSED if frame.arguments in replies.CLOSED else Heard.BAD
