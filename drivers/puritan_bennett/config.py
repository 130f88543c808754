"""The driver's configuration: one entry per ventilator, or per port 2 of one."""

from __future__ import annotations

from datetime import tzinfo
from typing import Literal

from drivers.base.lines import BoundLines, BoundPort
from drivers.base.zones import zone_named
from drivers.transport.serial import SerialSettings

POLL_S_MIN, POLL_S_MAX = 2.0, 60.0
"""A reply alone takes 1.3 s."""
SILENCE_S_MIN = 3.0


class _Port(BoundPort, frozen=True, kw_only=True):
    flow_control: Literal["none", "rts_cts"] = "rts_cts"
    """As the manual says; ``none`` for a cable with three wires."""
    silence_s: float = 30.0
    """Without anything that makes sense: the ventilator, or its curves, are offline."""

    def settings(self) -> SerialSettings:
        """Eight data bits, no parity, one stop bit."""
        return SerialSettings(
            port=self.port, baud_rate=self.baud_rate, flow_control=self.flow_control
        )

    def check(self) -> None:
        """See the base's.

        Raises:
            ValueError: a value can't be.
        """
        BoundPort.check(self)
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")


class VentilatorPort(_Port, frozen=True, kw_only=True):
    """Port 1 of one ventilator."""

    poll_s: float = 5.0
    """Between two questions."""
    time_zone: str = "UTC"
    """Of the ventilator's clock, which has none: ``"Europe/Paris"``."""

    def __post_init__(self) -> None:
        self.check()
        if not POLL_S_MIN <= self.poll_s <= POLL_S_MAX:
            raise ValueError(f"poll_s must be {POLL_S_MIN} to {POLL_S_MAX}")
        self.zone()

    def zone(self) -> tzinfo:
        """See :func:`drivers.base.zones.zone_named`."""
        return zone_named(self.time_zone)


class WavesPort(_Port, frozen=True, kw_only=True):
    """Port 2 of one ventilator."""

    baud_rate: int = 38400

    def __post_init__(self) -> None:
        self.check()


class VentilatorsConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ventilators of one driver instance."""

    ventilators: tuple[VentilatorPort, ...]


class WavesConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ventilators whose curves one driver instance reads."""

    ventilators: tuple[WavesPort, ...]
