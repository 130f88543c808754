"""The entry point ``alaris`` of the group ``wardgate.drivers``."""

from __future__ import annotations

from drivers.alaris.config import AlarisConfig
from drivers.alaris.dialogue import dialogues
from drivers.base.lines import LineFactory, LineProtocol

FACTORY = LineFactory(
    LineProtocol("alaris", "pump", dialogues),
    AlarisConfig,
    fleet_settings=frozenset(("pumps",)),
)
