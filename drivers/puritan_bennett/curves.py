"""One opening of port 2: lines, blocks, records. Nothing is ever sent."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from drivers.base.attachment import DialogueFactory
from drivers.base.dialogue import Event, Malformed, Moment, Offline, Online, Said
from drivers.base.silence import Listening, Silence
from drivers.puritan_bennett.codec import LineDecoder, TooLong, decode_wave_line
from drivers.puritan_bennett.config import WavesPort
from drivers.puritan_bennett.waves import RATE_HZ, SCALE, Block, Breaths
from drivers.ventilation.timeline import Timeline
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import (
    Mark,
    Marked,
    Provenance,
    Report,
    TimeQuality,
    Waveform,
)
from gateway.domain.terms import code

KIND = "waves"
FLOW, PRESSURE = code("MDC_FLOW_AWAY"), code("MDC_PRESS_AWAY")
LINE_BYTES_MAX = 64
"""A line has at most 20."""


def dialogues(bound: WavesPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes the dialogues of a port 2."""
    del rng

    def dialogue_with(device: Device) -> CurvesDialogue:
        return CurvesDialogue(bound.silence_s, device, provenance)

    return dialogue_with


class CurvesDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, silence_s: float, device: Device, provenance: Provenance) -> None:
        super().__init__(Silence(silence_s))
        self._device = device
        self._provenance = provenance
        self._lines = LineDecoder(LINE_BYTES_MAX)
        self._breaths = Breaths()
        self._timeline = Timeline(RATE_HZ)

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode, collect, map."""
        for line in self._lines.feed(data):
            if isinstance(line, TooLong):
                yield Malformed("too_long", line.sample)
                continue
            try:
                blocks = self._breaths.feed(decode_wave_line(line))
            except MalformedError as error:
                yield Malformed(error.reason, line)
                blocks = self._breaths.damaged()
            else:
                yield from map(_of_waves, self._silence.heard(now.monotonic_s))
            for block in blocks:
                yield Said((self._report(block, now),))

    def tick(self, now: Moment) -> Iterable[Event]:
        """Offline when nothing is heard."""
        return map(_of_waves, super().tick(now))

    def link_down(self, now: Moment) -> Iterator[Event]:
        """What was collected is not lost with the link."""
        for block in self._breaths.flush():
            yield Said((self._report(block, now),))

    def _report(self, block: Block, now: Moment) -> Report:
        placed = self._timeline.place(len(block.flow), now.monotonic_s, now.wall_us)
        marks = tuple(Marked(at, 1, Mark.MISSING) for at in block.missing)
        curves = (FLOW, block.flow), (PRESSURE, block.pressure)
        return Report(
            self._device.device_id,
            KIND,
            self._provenance,
            now.wall_us,
            time_quality=TimeQuality.NONE,
            bed=self._device.bed,
            waveforms=tuple(
                Waveform(
                    metric,
                    placed.start_us,
                    RATE_HZ,
                    SCALE,
                    0.0,
                    samples,
                    missing_before=placed.missing_before,
                    marks=marks,
                )
                for metric, samples in curves
            ),
            ward=self._device.ward,
        )


def _of_waves(event: Event) -> Event:
    """The status of the curves: the ventilator's own is port 1's to tell."""
    match event:
        case Online(reason):
            return Online(f"waves_{reason}")
        case Offline(reason):
            return Offline(f"waves_{reason}")
        case _:
            return event
