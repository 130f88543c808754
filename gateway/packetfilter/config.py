"""``[packet_filter]``: what the gateway and root's service agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

RUN = Path("/run/wardgate")
MEMORY = Path("/var/lib/wardgate-packetfilter")
STALE_S = 10.0


class PacketFilterTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[packet_filter]``."""

    required: bool = False
    """Raise an alarm while nobody says that the rules are in force."""
    trust: Path | None = None
    """Roots below which root's service believes a policy, PEM; None: those of ``[tls]``, which the
    gateway renews and could exchange."""
    user: str = ""
    """Whose packets are judged: the user that the gateway runs as, by name or number. Empty:
    ``wardgate``, or ``wardgate-`` and the tenant."""
    counters: Path | None = None
    """Where root's service tells the counters; by default below ``/run/wardgate``, by the
    tenant where there is one."""
    memory: Path = MEMORY
    """The directory where root's service keeps which policy it has believed; root's alone."""
    stale_s: Annotated[float, msgspec.Meta(ge=2)] = STALE_S
    """So old the counters may be; the service tells them every second."""

    def user_of(self, tenant: str) -> str:
        """The user of a tenant's gateway, or of the only one."""
        return self.user or (f"wardgate-{tenant}" if tenant else "wardgate")

    def file(self, tenant: str) -> Path:
        """Where the counters of a tenant's gateway are; of the only one, if it is nobody's."""
        return self.counters or RUN / (tenant or "gateway") / "packetfilter.json"
