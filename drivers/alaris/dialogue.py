"""One opening of a pump's line: questions, answers, mapping.

What is sent is a :class:`drivers.alaris.codec.Query`, chosen by time and by our own last question
alone: nothing that the pump says becomes a part of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from drivers.alaris.codec import Damage, Message, MessageDecoder, Query
from drivers.alaris.config import PumpPort
from drivers.alaris.mapping import Mapper
from drivers.alaris.polling import Poller
from drivers.alaris.replies import Infusion, parse
from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.silence import Listening, Silence
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
        self._serial = bound.serial_number
        self._right = not self._serial
        """Whether it is the pump that it must be, as far as that can be known."""
        self._mapper = mapper
        self._poller = Poller(bound.poll_s)
        self._decoder = MessageDecoder()
        self._unmapped = 0

    def begin(self, now: Moment) -> Iterator[Event]:
        """Ask for the first time."""
        self._ask(self._poller.begin(now.monotonic_s))
        yield from ()

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode, map, and ask what is next."""
        for found in self._decoder.feed(data):
            if isinstance(found, Damage):
                yield Malformed(found.reason, found.sample)
            else:
                yield from self._message(found, now)
        if self._mapper.unmapped != self._unmapped:
            yield Missed("unknown_value", self._mapper.unmapped - self._unmapped)
            self._unmapped = self._mapper.unmapped

    def deadline(self) -> float | None:
        """The next question, or the end of our patience."""
        silence = super().deadline()
        due = self._poller.deadline()
        return due if silence is None else min(due, silence)

    def tick(self, now: Moment) -> Iterator[Event]:
        """Ask what is due."""
        ask, given_up = self._poller.tick(now.monotonic_s)
        self._ask(ask)
        if given_up is not None:
            self._mapper.unanswered(given_up)
            yield Missed("unanswered")
        yield from super().tick(now)

    def _message(self, message: Message, now: Moment) -> Iterator[Event]:
        query = self._poller.asked
        if query is None or message.name != query.reply:
            yield Missed("unasked")
            return
        try:
            reply = parse(query, message)
        except MalformedError as error:
            # The question stays open: it is asked once more, and then passed over.
            yield Malformed(error.reason, message.raw)
            return
        self._ask(self._poller.answered(now.monotonic_s))
        if isinstance(reply, Infusion) and self._serial:
            self._right = reply.serial == self._serial
        if not self._right:
            self._mapper.unanswered(query)
            yield Missed("other_serial_number")
            return
        yield from self._silence.heard(now.monotonic_s)
        yield Said(self._mapper.records(reply, now.wall_us))

    def _ask(self, query: Query | None) -> None:
        if query is not None:
            self.output.append(query.value)
