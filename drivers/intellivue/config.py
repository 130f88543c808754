"""The driver's configuration: one entry per monitor."""

from __future__ import annotations

import ipaddress
import socket
from datetime import tzinfo
from typing import ClassVar

import msgspec

from drivers.base.lines import BoundLines, BoundPort
from drivers.base.zones import zone_named
from drivers.intellivue.metrics import wave_label
from drivers.intellivue.session import Times

POLL_PERIOD_S_MIN, POLL_PERIOD_S_MAX = 4.0, 3600.0
SILENCE_S_MIN = 3.0
"""Three of the monitor's replies."""
DATA_PORT = 24105
PORT_MAX = 65535
WAVE_LIST_MAX = 11
"""More than a monitor sends."""


class MonitorSettings:
    """What there is to say of a monitor, however it is reached; each struct declares it anew."""

    __slots__ = ()

    poll_period_s: float
    silence_s: float
    time_zone: str
    waves: bool
    wave_list: tuple[str, ...]
    system_id: str

    def check_settings(self) -> None:
        """What a configuration must keep to.

        Raises:
            ValueError: it doesn't.
        """
        if not POLL_PERIOD_S_MIN <= self.poll_period_s <= POLL_PERIOD_S_MAX:
            raise ValueError(f"poll_period_s must be {POLL_PERIOD_S_MIN} to {POLL_PERIOD_S_MAX}")
        if self.silence_s < SILENCE_S_MIN:
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN}")
        if len(self.wave_list) > WAVE_LIST_MAX:
            raise ValueError(f"wave_list: at most {WAVE_LIST_MAX}")
        try:
            bytes.fromhex(self.system_id)
        except ValueError:
            raise ValueError("system_id is not hexadecimal") from None
        self.times()
        self.zone()

    def zone(self) -> tzinfo:
        """The time zone of the monitor's wall clock.

        Raises:
            ValueError: this machine does not know it.
        """
        return zone_named(self.time_zone)

    def times(self) -> Times:
        """The session's waits, and what it asks for.

        Raises:
            ValueError: a wave that no monitor has.
        """
        return Times(
            poll_period_s=self.poll_period_s,
            silence_s=self.silence_s,
            waves=self.waves,
            wave_labels=tuple(map(wave_label, self.wave_list)),
        )


class MonitorPort(
    BoundPort, MonitorSettings, frozen=True, forbid_unknown_fields=True, kw_only=True
):
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
    waves: bool = False
    """Read waves, too: 1 to 5 kB/s a monitor, nearly all that its reports take anywhere."""
    wave_list: tuple[str, ...] = ()
    """Which ones, by REFID, the first ones first; empty: what the monitor shows."""
    system_id: str = ""
    """Hexadecimal, as the monitor tells it when it is associated: one that tells another is not
    read. Finds a wrong cable or address, and is no proof."""

    def __post_init__(self) -> None:
        self.check()
        self.check_settings()


class MonitorAddress(
    msgspec.Struct, MonitorSettings, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """One network address and the monitor that the gateway takes to be there."""

    device_id: str
    address: str
    """The monitor's address, a literal one; with a port where it is not 24105."""
    poll_period_s: float = 60.0
    """How long one extended poll runs before it must be armed again; the replies themselves
    come every 1.024 s."""
    silence_s: float = 10.0
    """Without a reply: give the association up and begin again."""
    time_zone: str = "UTC"
    """Of the monitor's wall clock, which has none: ``"Europe/Paris"``."""
    waves: bool = False
    """Read waves, too: 1 to 5 kB/s a monitor, nearly all that its reports take anywhere."""
    wave_list: tuple[str, ...] = ()
    """Which ones, by REFID, the first ones first; empty: what the monitor shows."""
    system_id: str = ""
    """Hexadecimal, as the monitor tells it when it is associated: one that tells another is not
    read. Finds a wrong cable or address, and is no proof."""

    def __post_init__(self) -> None:
        if not self.device_id:
            raise ValueError("device_id must not be empty")
        self.place()
        self.check_settings()

    def place(self) -> tuple[str, int]:
        """Where the monitor is.

        Raises:
            ValueError: no literal address: a name would let whoever answers for it be the monitor.
        """
        host, port = self.address, DATA_PORT
        if self.address.startswith("[") or self.address.count(":") == 1:
            host, _, number = self.address.rpartition(":")
            if not number.isdecimal() or not 0 < int(number) <= PORT_MAX:
                raise ValueError(f"address {self.address!r} has no port number")
            port = int(number)
        return str(ipaddress.ip_address(host.strip("[]"))), port


class IntellivueConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The monitors of one driver instance."""

    monitors: tuple[MonitorPort, ...]


class IntellivueLanConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The monitors on the network of one driver instance."""

    monitors: tuple[MonitorAddress, ...]
    listen: tuple[str, ...] = ()
    """Where connect indications are heard, as a rule ``["0.0.0.0:24005"]``; none: nowhere, and a
    monitor that comes back is found a little later."""
    listens_over: ClassVar[int] = socket.SOCK_DGRAM
    dials_over: ClassVar[int] = socket.SOCK_DGRAM

    def __post_init__(self) -> None:
        for what, names in (
            ("address", [str(each.place()) for each in self.monitors]),
            ("device_id", [each.device_id for each in self.monitors]),
        ):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{what} {min(twice)!r} is configured twice")

    @property
    def dials(self) -> tuple[str, ...]:
        """The monitors."""
        return tuple(joined(*each.place()) for each in self.monitors)


def joined(host: str, port: int) -> str:
    """Address and port in one."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
