"""One opening of the line: the device talks, we listen; no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from drivers.base.dialogue import Dialogue, Event, Malformed, Moment, Said
from drivers.base.silence import Silence
from gateway.domain.devices import Device
from gateway.domain.records import Provenance
from wardgate_pulse import mapping
from wardgate_pulse.codec import Damage, LineDecoder


class PulseDialogue(Dialogue):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, device: Device, provenance: Provenance, silence_s: float) -> None:
        super().__init__()
        self._device = device
        self._provenance = provenance
        self._lines = LineDecoder()
        self._silence = Silence(silence_s)

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._lines.feed(data):
            if isinstance(found, Damage):
                yield Malformed(found.reason, found.sample)
                continue
            yield from self._silence.heard(now.monotonic_s)
            yield Said((mapping.report(found, self._device, self._provenance, now.wall_us),))

    def deadline(self) -> float | None:
        """The end of our patience."""
        return self._silence.deadline()

    def tick(self, now: Moment) -> Iterable[Event]:
        """Offline when nothing is heard."""
        return self._silence.tick(now.monotonic_s)

    def excuse(self, now: Moment) -> None:
        """See the base's."""
        self._silence.excuse(now.monotonic_s)
