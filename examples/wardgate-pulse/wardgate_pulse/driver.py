"""The entry point ``pulse`` of the group ``wardgate.drivers``, and its configuration."""

from __future__ import annotations

import random

from drivers.base.attachment import DialogueFactory
from drivers.base.lines import BoundLines, BoundPort, LineFactory, LineProtocol
from gateway.domain.records import Provenance
from wardgate_pulse.dialogue import PulseDialogue

SILENCE_S_MIN = 2.5
"""The device speaks once a second."""


class PulsePort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the device that the gateway attests behind it."""

    baud_rate: int = 9600
    silence_s: float = 5.0
    """Without a line: the device is offline."""

    def __post_init__(self) -> None:
        self.check()
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")


class PulseConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The devices of one driver instance."""

    devices: tuple[PulsePort, ...]


def dialogues(bound: PulsePort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes the dialogues of one port."""
    del rng
    return lambda device: PulseDialogue(device, provenance, bound.silence_s)


FACTORY = LineFactory(
    LineProtocol("pulse", "monitor", dialogues),
    PulseConfig,
    fleet_settings=frozenset(("devices",)),
)
