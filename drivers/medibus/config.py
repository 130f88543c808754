"""The driver's configuration: one entry per device."""

from __future__ import annotations

from datetime import tzinfo
from typing import Literal

from drivers.base.lines import BoundLines, BoundPort
from drivers.base.zones import zone_named
from drivers.transport.serial import SerialSettings

POLL_S_MIN, POLL_S_MAX = 1.0, 8.0
"""The device ends the conversation after 10 s in which it hears nothing."""


class MedibusPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The port of one device."""

    baud_rate: int = 19200
    """An Evita's; an Apollo's is 9600."""
    parity: Literal["none", "even", "odd"] = "even"
    poll_s: float = 5.0
    """Between two rounds of questions."""
    curves: bool = True
    """Whether it is asked to send curves."""
    time_zone: str = "UTC"
    """Of the device's clock, which has none: ``"Europe/Berlin"``."""

    def __post_init__(self) -> None:
        self.check()
        if not POLL_S_MIN <= self.poll_s <= POLL_S_MAX:
            raise ValueError(f"poll_s must be {POLL_S_MIN} to {POLL_S_MAX}")
        self.zone()

    def settings(self) -> SerialSettings:
        """Eight data bits, one stop bit."""
        return SerialSettings(port=self.port, baud_rate=self.baud_rate, parity=self.parity)

    def zone(self) -> tzinfo:
        """See :func:`drivers.base.zones.zone_named`."""
        return zone_named(self.time_zone)


class MedibusConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The devices of one driver instance."""

    devices: tuple[MedibusPort, ...]
