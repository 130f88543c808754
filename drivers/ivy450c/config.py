"""The driver's configuration: one entry per monitor."""

from __future__ import annotations

from typing import Literal

from drivers.base.lines import BoundLines, BoundPort
from drivers.ivy450c.mapping import Units

SILENCE_S_MIN = 2.5
"""The monitor speaks once a second."""
Site = Literal["unlabelled", "ART", "ABP", "CVP", "PA", "ICP"]


class MonitorPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the monitor that the gateway attests behind it."""

    baud_rate: int = 9600
    p1: Site = "unlabelled"
    """What the monitor's pressure channels measure: the stream doesn't say it."""
    p2: Site = "unlabelled"
    co2_unit: Literal["mm[Hg]", "kPa"] = "mm[Hg]"
    """As set on the monitor: the stream says no unit."""
    temperature_unit: Literal["Cel", "[degF]"] = "Cel"
    silence_s: float = 5.0
    """Without a message: the monitor is offline."""

    def __post_init__(self) -> None:
        self.check()
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")
        if self.p1 == self.p2 != "unlabelled":
            raise ValueError(f"p1 and p2 can't both be {self.p1}")

    def units(self) -> Units:
        """How the monitor is set."""
        return Units(self.co2_unit, self.temperature_unit)


class Ivy450cConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The monitors of one driver instance."""

    monitors: tuple[MonitorPort, ...]
