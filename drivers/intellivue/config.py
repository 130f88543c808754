"""The driver's configuration: one entry per monitor."""

from __future__ import annotations

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

import msgspec

from drivers.base.lines import BoundPort, check_bound, serial_servers
from drivers.intellivue.session import Times

POLL_PERIOD_S_MIN, POLL_PERIOD_S_MAX = 4.0, 3600.0
SILENCE_S_MIN = 3.0
"""Three of the monitor's replies."""


class MonitorPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the monitor that the gateway attests behind it."""

    baud_rate: int = 115200
    """The protocol's own: 115200, no parity, one stop bit."""
    poll_period_s: float = 60.0
    """How long one extended poll runs before it must be armed again; the replies themselves
    come every 1.024 s."""
    silence_s: float = 10.0
    """Without a reply: give the association up and begin again."""
    time_zone: str = "UTC"
    """Of the monitor's wall clock, which has none: ``"Europe/Paris"``."""

    def __post_init__(self) -> None:
        self.check()
        if not POLL_PERIOD_S_MIN <= self.poll_period_s <= POLL_PERIOD_S_MAX:
            raise ValueError(f"poll_period_s must be {POLL_PERIOD_S_MIN} to {POLL_PERIOD_S_MAX}")
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")
        self.zone()

    def zone(self) -> tzinfo:
        """The time zone of the monitor's wall clock.

        Raises:
            ValueError: this machine does not know it.
        """
        if self.time_zone == "UTC":  # known without a database of zones
            return UTC
        try:
            return ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is not known here") from error

    def times(self) -> Times:
        """The session's waits."""
        return Times(poll_period_s=self.poll_period_s, silence_s=self.silence_s)


class IntellivueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The monitors of one driver instance."""

    monitors: tuple[MonitorPort, ...]

    def __post_init__(self) -> None:
        check_bound(self.monitors)

    @property
    def bound(self) -> tuple[MonitorPort, ...]:
        """All that is configured."""
        return self.monitors

    @property
    def dials(self) -> tuple[str, ...]:
        """The serial servers."""
        return serial_servers(self.monitors)
