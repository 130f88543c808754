"""One opening of the line: the device talks, we listen; no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.base.dialogue import Event, Malformed, Moment, Said
from drivers.base.silence import Listening, Silence
from gateway.domain.devices import Device
from gateway.domain.records import Provenance
from wardgate_pulse import mapping
from wardgate_pulse.codec import Damage, LineDecoder


class PulseDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, device: Device, provenance: Provenance, silence_s: float) -> None:
        super().__init__(Silence(silence_s))
        self._device = device
        self._provenance = provenance
        self._lines = LineDecoder()

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._lines.feed(data):
            if isinstance(found, Damage):
                yield Malformed(found.reason, found.sample)
                continue
            yield from self._silence.heard(now.monotonic_s)
            yield Said((mapping.report(found, self._device, self._provenance, now.wall_us),))
