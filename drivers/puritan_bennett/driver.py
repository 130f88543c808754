"""The entry point ``puritan_bennett`` of the group ``wardgate.drivers``."""

from __future__ import annotations

from drivers.base.lines import LineFactory, LineProtocol
from drivers.puritan_bennett.config import VentilatorsConfig
from drivers.puritan_bennett.dialogue import dialogues

FACTORY = LineFactory(
    LineProtocol("puritan_bennett", "ventilator", dialogues),
    VentilatorsConfig,
    fleet_settings=frozenset(("ventilators",)),
)
