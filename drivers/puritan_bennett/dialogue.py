"""One opening of port 1: questions, replies, mapping."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.silence import Listening, Silence
from drivers.puritan_bennett.codec import LineDecoder, Request, TooLong, decode_reply
from drivers.puritan_bennett.config import VentilatorPort
from drivers.puritan_bennett.mapping import Mapper
from drivers.puritan_bennett.polling import Poller
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Provenance


def dialogues(bound: VentilatorPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a ventilator's dialogues."""
    del rng

    def dialogue_with(device: Device) -> VentilatorDialogue:
        return VentilatorDialogue(bound, Mapper(device, provenance, bound.zone()))

    return dialogue_with


class VentilatorDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, bound: VentilatorPort, mapper: Mapper) -> None:
        super().__init__(Silence(bound.silence_s))
        self._mapper = mapper
        self._poller = Poller(bound.poll_s)
        self._lines = LineDecoder()
        self._unknown = 0

    def begin(self, now: Moment) -> Iterable[Event]:
        """Ask for the first time."""
        self._ask(self._poller.begin(now.monotonic_s))
        return ()

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for line in self._lines.feed(data):
            if isinstance(line, TooLong):
                yield Malformed("too_long", line.sample)
                continue
            try:
                reply = decode_reply(line)
            except MalformedError as error:
                yield Malformed(error.reason, line)
                continue
            self._poller.answered()
            yield from self._silence.heard(now.monotonic_s)
            yield Said(self._mapper.records(reply, now.wall_us))
            if self._mapper.unknown != self._unknown:
                yield Missed("unknown_word", self._mapper.unknown - self._unknown)
                self._unknown = self._mapper.unknown

    def deadline(self) -> float | None:
        """The next question, or the end of our patience."""
        due = [each for each in (self._poller.deadline(), super().deadline()) if each]
        return min(due, default=None)

    def tick(self, now: Moment) -> Iterable[Event]:
        """Ask what is due."""
        self._ask(self._poller.tick(now.monotonic_s))
        return super().tick(now)

    def _ask(self, requests: Iterable[Request]) -> None:
        self.output += (request.value for request in requests)
