"""The entry point ``datex_s5`` of the group ``wardgate.drivers``."""

from __future__ import annotations

import random

from drivers.base.attachment import DialogueFactory
from drivers.base.lines import LineFactory, LineProtocol
from drivers.datex_s5.config import DatexS5Config, MonitorPort
from drivers.datex_s5.dialogue import MonitorDialogue
from drivers.datex_s5.mapping import Mapper
from gateway.domain.devices import Device
from gateway.domain.records import Provenance

NAME = "datex_s5"


def dialogues(bound: MonitorPort, provenance: Provenance, rng: random.Random) -> DialogueFactory:
    """Makes a monitor's dialogues."""
    del rng

    def dialogue_with(device: Device) -> MonitorDialogue:
        return MonitorDialogue(bound, Mapper(device, provenance, bound.zone()))

    return dialogue_with


FACTORY = LineFactory(
    LineProtocol(NAME, "monitor", dialogues),
    DatexS5Config,
    fleet_settings=frozenset(("monitors",)),
)
