"""``[clock]``: how the gateway's own clock is watched."""

from __future__ import annotations

import ipaddress
import math

import msgspec

from gateway.domain.errors import ConfigError


class ClockTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is asked what the clock is worth, and what is done about the answer."""

    chrony: str = "127.0.0.1:323"
    """chronyd's command port, on the loopback; empty: the kernel alone is asked."""
    poll_s: float = 16.0
    record_every_s: float = 900.0
    """A record is made at least so often, and when something changes."""
    error_max_s: float = 0.05
    """Beyond it an alarm is raised."""
    platform_error_s: float = 0.005
    """How far a MEC platform's time that is traceable to UTC may be off: it does not say."""
    alarm_after_s: float = 300.0
    """A clock that is not synchronised, or beyond the limit, for so long is an alarm: a time
    service needs a while after a start."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        for name in ("poll_s", "record_every_s", "error_max_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"clock.{name}: must be above 0")
        for name in ("alarm_after_s", "platform_error_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"clock.{name}: can't be negative")
        if self.chrony and self.address is None:
            raise ConfigError("clock.chrony: must be address:port on the loopback, or empty")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where chronyd answers."""
        host, _, port = self.chrony.rpartition(":")
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return None
        if not (address.is_loopback and port.isdecimal() and 0 < int(port) < 65_536):
            return None
        return str(address), int(port)
