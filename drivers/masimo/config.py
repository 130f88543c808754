"""The driver's configuration: one entry per oximeter."""

from __future__ import annotations

from datetime import tzinfo
from typing import Literal

from drivers.base.lines import BoundLines, BoundPort
from drivers.base.zones import zone_named

SILENCE_S_MIN = 2.5
"""The oximeter speaks once a second."""


class OximeterPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the oximeter that the gateway attests behind it."""

    baud_rate: int = 9600
    time_zone: str = "UTC"
    """Of the oximeter's clock, which has none: ``"Europe/Paris"``."""
    sphb_unit: Literal["g/dL", "g/L"] = "g/dL"
    """Of SpHb, as set on the oximeter: the line says no unit."""
    silence_s: float = 5.0
    """Without a line: the oximeter is offline."""

    def __post_init__(self) -> None:
        self.check()
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")
        self.zone()

    def zone(self) -> tzinfo:
        """The time zone of the oximeter's clock.

        Raises:
            ValueError: this machine does not know it.
        """
        return zone_named(self.time_zone)


class MasimoConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The oximeters of one driver instance."""

    oximeters: tuple[OximeterPort, ...]
