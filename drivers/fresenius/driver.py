"""The entry point ``fresenius`` of the group ``wardgate.drivers``."""

from __future__ import annotations

from drivers.base.lines import LineFactory, LineProtocol
from drivers.fresenius.bus import PumpBus
from drivers.fresenius.config import FreseniusConfig
from drivers.fresenius.dialogue import dialogues

FACTORY = LineFactory(
    LineProtocol("fresenius", "pump", dialogues, PumpBus),
    FreseniusConfig,
    fleet_settings=frozenset(("pumps",)),
)
