"""The entry point ``ivy450c``: the monitor talks, and we never do."""

from __future__ import annotations

import random
from collections.abc import Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.lines import LineFactory, LineProtocol
from drivers.base.silence import Listening, Silence
from drivers.ivy450c.codec import MESSAGE_BYTES_MAX, Damage, MessageDecoder
from drivers.ivy450c.config import Ivy450cConfig, MonitorPort
from drivers.ivy450c.mapping import Mapper
from gateway.domain.devices import Device
from gateway.domain.records import Provenance

NAME = "ivy450c"


class MonitorDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, mapper: Mapper, silence: Silence) -> None:
        super().__init__(silence)
        self._mapper = mapper
        self._messages = MessageDecoder()
        self._beginning = MESSAGE_BYTES_MAX
        """Bytes that may still be the rest of a message whose beginning we did not hear."""
        self._damaged = False
        self._unmapped = 0

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._messages.feed(data):
            if isinstance(found, Damage):
                self._beginning -= len(found.sample)
                if self._beginning < 0 or found.reason != "noise":
                    self._damaged = True
                    yield Malformed(found.reason, found.sample)
                continue
            self._beginning = 0
            yield from self._silence.heard(now.monotonic_s)
            yield Said(self._mapper.records(found, now, damaged=self._damaged))
            self._damaged = False
        if self._mapper.unmapped > self._unmapped:
            yield Missed("unknown_value", self._mapper.unmapped - self._unmapped)
            self._unmapped = self._mapper.unmapped


def dialogues(bound: MonitorPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a monitor's dialogues."""
    del rng

    def dialogue_with(device: Device) -> MonitorDialogue:
        mapper = Mapper(device, provenance, bound.units(), (bound.p1, bound.p2))
        return MonitorDialogue(mapper, Silence(bound.silence_s))

    return dialogue_with


FACTORY = LineFactory(
    LineProtocol(NAME, "monitor", dialogues),
    Ivy450cConfig,
    fleet_settings=frozenset(("monitors",)),
)
