"""The entry point ``medibus`` of the group ``wardgate.drivers``."""

from __future__ import annotations

from drivers.base.lines import LineFactory, LineProtocol
from drivers.medibus.config import MedibusConfig
from drivers.medibus.dialogue import dialogues

FACTORY = LineFactory(
    LineProtocol("medibus", "ventilator", dialogues),
    MedibusConfig,
    fleet_settings=frozenset(("devices",)),
)
