"""``[packet_filter]``: what the gateway and root's service agree on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

RUN = Path("/run/wardgate")
STALE_S = 10.0


class PacketFilterTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[packet_filter]``."""

    required: bool = False
    """Raise an alarm while nobody says that the rules are in force."""
    user: str = "wardgate"
    """Whose packets are judged: the user that the gateway runs as, by name or number."""
    counters: Path | None = None
    """Where root's service tells the counters; by default below ``/run/wardgate``, by the
    gateway's name."""
    stale_s: Annotated[float, msgspec.Meta(ge=2)] = STALE_S
    """So old the counters may be; the service tells them every second."""

    def file(self, gateway: str) -> Path:
        """Where the counters are."""
        return self.counters or RUN / gateway / "packetfilter.json"
