"""The entry point ``masimo``: the oximeter talks, and we never do."""

from __future__ import annotations

import random
from collections.abc import Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.lines import LineFactory, LineProtocol
from drivers.base.silence import Listening, Silence
from drivers.masimo.codec import Damage, LineDecoder
from drivers.masimo.config import MasimoConfig, OximeterPort
from drivers.masimo.mapping import Mapper
from gateway.domain.devices import Device
from gateway.domain.records import Provenance

NAME = "masimo"


class OximeterDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, mapper: Mapper, silence: Silence) -> None:
        super().__init__(silence)
        self._mapper = mapper
        self._lines = LineDecoder()
        self._begun = False
        self._unmapped = 0

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._lines.feed(data):
            begun, self._begun = self._begun, True
            if isinstance(found, Damage):
                # We begin to listen in the middle of a line: its rest is no damage.
                if begun or found.reason == "too_long":
                    yield Malformed(found.reason, found.sample)
                continue
            yield from self._silence.heard(now.monotonic_s)
            yield Said(self._mapper.records(found, now))
        if self._mapper.unmapped > self._unmapped:
            yield Missed("unknown_value", self._mapper.unmapped - self._unmapped)
            self._unmapped = self._mapper.unmapped


def dialogues(bound: OximeterPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes an oximeter's dialogues."""
    del rng

    def dialogue_with(device: Device) -> OximeterDialogue:
        mapper = Mapper(device, provenance, bound.zone(), bound.sphb_unit)
        return OximeterDialogue(mapper, Silence(bound.silence_s))

    return dialogue_with


FACTORY = LineFactory(
    LineProtocol(NAME, "monitor", dialogues),
    MasimoConfig,
    fleet_settings=frozenset(("oximeters",)),
)
