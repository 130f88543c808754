"""The entry point ``intellivue`` of the group ``wardgate.drivers``."""

from __future__ import annotations

from drivers.base.lines import LineFactory, LineProtocol
from drivers.intellivue.config import IntellivueConfig
from drivers.intellivue.dialogue import dialogues

FACTORY = LineFactory(
    LineProtocol("intellivue", "monitor", dialogues),
    IntellivueConfig,
    fleet_settings=frozenset(("monitors",)),
)
