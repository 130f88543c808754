"""The entry points ``puritan_bennett`` and ``puritan_bennett_waves``: one per port."""

from __future__ import annotations

from drivers.base.lines import LineFactory, LineProtocol
from drivers.puritan_bennett import curves, dialogue
from drivers.puritan_bennett.config import VentilatorsConfig, WavesConfig

FACTORY = LineFactory(
    LineProtocol("puritan_bennett", "ventilator", dialogue.dialogues),
    VentilatorsConfig,
    fleet_settings=frozenset(("ventilators",)),
)
WAVES_FACTORY = LineFactory(
    LineProtocol("puritan_bennett_waves", "ventilator", curves.dialogues),
    WavesConfig,
    fleet_settings=frozenset(("ventilators",)),
)
