"""The table ``[audit]``: how long the log is kept, and where its entries are sent."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from gateway.domain.errors import ConfigError
from gateway.domain.labels import Zone

FILE_BYTES_MAX = 8 << 20
BYTES_MAX = 2 << 30
"""A thousand devices that all reconnect every hour write 5 MB a day: for a year."""
KEEP_DAYS_MIN = 183
KEEP_DAYS = 400
ZONES = frozenset((Zone.WARD, Zone.CAMPUS))


class SyslogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[audit.syslog]``: a collector of IHE ATNA messages (RFC 5425, always with TLS).

    Entries name devices, addresses and operators, and no policy treats them: so the collector is
    in the ward or on the campus, or there is none.
    """

    address: str
    """``host:port``; 6514 is the port of RFC 5425."""
    zone: Zone
    server_name: str = ""
    """The name in the collector's certificate, where it is not the host of ``address``."""
    trust: Path | None = None
    """PEM: the collector's root, where it is not the gateway's own."""
    cert: Path | None = None
    key: Path | None = None
    """The certificate that is shown to it, where it is not the usual one."""

    def __post_init__(self) -> None:
        if self.zone not in ZONES:
            raise ConfigError(
                f"audit.syslog: the zone {self.zone} is outside the campus; entries name devices"
                " and operators: ward or campus"
            )
        if (self.cert is None) != (self.key is None):
            raise ConfigError("audit.syslog: cert and key go together")
        host, colon, port = self.address.rpartition(":")
        if not host or not colon or not port.isdigit() or not 0 < int(port) < 65536:
            raise ConfigError(f"audit.syslog: address {self.address!r} is no host:port")

    @property
    def host_and_port(self) -> tuple[str, int]:
        """Where to connect."""
        host, _, port = self.address.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[audit]``."""

    file_bytes_max: Annotated[int, msgspec.Meta(ge=64 << 10)] = FILE_BYTES_MAX
    """A file is put aside, and another begun, before it would be larger."""
    bytes_max: Annotated[int, msgspec.Meta(ge=16 << 20)] = BYTES_MAX
    """Of all files; the oldest go before they are larger, younger than ``keep_days`` or not."""
    keep_days: Annotated[int, msgspec.Meta(ge=KEEP_DAYS_MIN)] = KEEP_DAYS
    """Files whose entries are all older go when the next one is begun."""
    syslog: SyslogConfig | None = None
