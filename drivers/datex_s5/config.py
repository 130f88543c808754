"""The driver's configuration: one entry per monitor."""

from __future__ import annotations

from datetime import tzinfo
from typing import Literal

from drivers.base.lines import BoundLines, BoundPort
from drivers.base.zones import zone_named
from drivers.datex_s5.curves import KINDS, RATE_PER_S_MAX
from drivers.datex_s5.requests import CURVES_MAX
from drivers.transport.serial_settings import SerialSettings

INTERVAL_S_MIN, INTERVAL_S_MAX = 5, 3600
"""The monitor sends displayed values every five seconds at most often."""


class MonitorPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the monitor that the gateway attests behind it."""

    baud_rate: int = 19200
    """The protocol's own: 19200, even parity, one stop bit."""
    flow_control: Literal["none", "rts_cts"] = "rts_cts"
    """As the interface is specified; ``none`` for a cable without these lines."""
    interval_s: int = INTERVAL_S_MIN
    """Between two transmissions of the numbers."""
    curves: tuple[str, ...] = ("ecg1", "invp1", "pleth", "co2", "resp")
    """Names of :data:`drivers.datex_s5.curves.KINDS`."""
    silence_s: float = 20.0
    """Without anything from the monitor: it is offline, and asked anew."""
    time_zone: str = "UTC"
    """Of the monitor's wall clock, which has none: ``"Europe/Paris"``."""

    def __post_init__(self) -> None:
        self.check()
        if not INTERVAL_S_MIN <= self.interval_s <= INTERVAL_S_MAX:
            raise ValueError(f"interval_s must be {INTERVAL_S_MIN} to {INTERVAL_S_MAX}")
        if self.silence_s < 2 * self.interval_s:
            raise ValueError(f"silence_s must be at least {2 * self.interval_s}")
        unknown = set(self.curves) - set(KINDS)
        if unknown:
            raise ValueError(f"curves: {min(unknown)!r} is none; there are {', '.join(KINDS)}")
        rate = sum(KINDS[name].rate_hz for name in self.curves)
        if len(set(self.curves)) != len(self.curves) or len(self.curves) > CURVES_MAX:
            raise ValueError(f"curves must be at most {CURVES_MAX}, each once")
        if rate > RATE_PER_S_MAX:
            raise ValueError(f"curves have {rate} samples/s; the line carries {RATE_PER_S_MAX}")
        self.zone()

    def settings(self) -> SerialSettings:
        """How to open the port."""
        return SerialSettings(
            port=self.port,
            baud_rate=self.baud_rate,
            parity="even",
            flow_control=self.flow_control,
        )

    def zone(self) -> tzinfo:
        """The time zone of the monitor's wall clock.

        Raises:
            ValueError: this machine does not know it.
        """
        return zone_named(self.time_zone)


class DatexS5Config(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The monitors of one driver instance."""

    monitors: tuple[MonitorPort, ...]
